"""S2 on a leaf link: which mode two servers come to, and that each understands what the other compresses, byte for byte."""

import os
import random
import threading
import time

import pytest

from rawclient import RawClient
from servers import until as wait
from waiting import leafs, until, until_interest, until_linked

# What crosses in each direction and mode. `make test-s2-differential` lets 1 GB cross in all.
DIFFERENTIAL_MB = float(os.environ.get("S2_DIFFERENTIAL_MB", "24"))

ALL_STORED = '{ mode: s2_auto, rtt_thresholds: ["1h"] }'
ALL_FAST = '{ mode: s2_auto, rtt_thresholds: ["0s", "5s"] }'
ALL_BEST = '{ mode: s2_auto, rtt_thresholds: ["1ns", "1ns", "1ns"] }'


@pytest.mark.parametrize(
    "at_edge, at_hub, edge_says, hub_says",
    [
        ("s2_better", "s2_fast", "s2_better", "s2_fast"),
        ("s2_best", "accept", "s2_best", "s2_best"),
        ("accept", "s2_better", "s2_better", "s2_better"),
        ("accept", "accept", "off", "off"),
        ('"not supported"', "s2_best", "not supported", "not supported"),
        (ALL_STORED, ALL_STORED, "s2_uncompressed", "s2_uncompressed"),
        ("false", "s2_best", "off", "off"),
        (ALL_FAST, ALL_BEST, "s2_fast", "s2_best"),
    ],
)
async def test_both_ends_come_to_a_mode(petiole, hub, at_edge, at_hub, edge_says, hub_says):
    upstream = hub(name="hub", config="", leaf=f"compression: {at_hub}")
    edge = petiole(f'leafnodes {{ remotes: [ {{ url: "{upstream.leaf_url}", compression: {at_edge} }} ] }}')
    await until_linked(upstream)
    await until(lambda: leafs(edge), 5, "the link at the edge")
    assert leafs(upstream)[0]["compression"] == hub_says
    assert leafs(edge)[0]["compression"] == edge_says


@pytest.mark.ours
async def test_the_uplink_compresses_as_configured(petiole, hub):
    upstream = hub()
    edge = petiole(f'uplink {{ clusters: [ {{ name: a, url: "{upstream.leaf_url}" }} ], compression: {{ mode: better }} }}')
    await until_linked(upstream)
    await until(lambda: leafs(edge), 5, "the link at the edge")
    assert leafs(edge)[0]["compression"] == "s2_better"


@pytest.mark.ours
@pytest.mark.parametrize(
    "at_edge, at_hub, edge_says, hub_says",
    [("lz4", "accept", "lz4", "lz4"), ("accept", "lz4", "lz4", "lz4"), ("s2_fast", "lz4", "s2_fast", None), ("lz4", "off", "off", "off")],
)
async def test_two_agents_come_to_lz4_where_one_is_told_so(petiole, at_edge, at_hub, edge_says, hub_says):
    upstream = petiole(name="hub", leaf=f"compression: {at_hub}")
    edge = petiole(f'leafnodes {{ remotes: [ {{ url: "{upstream.leaf_url}", compression: {at_edge} }} ] }}')
    await until_linked(upstream)
    await until(lambda: leafs(edge), 5, "the link at the edge")
    assert leafs(edge)[0]["compression"] == edge_says
    # What the hub does in the third case depends on the round trip.
    assert leafs(upstream)[0]["compression"] == hub_says or hub_says is None


@pytest.mark.ours
async def test_lz4_is_s2_with_a_nats_server(petiole, hub):
    upstream = hub(leaf=f"compression: {ALL_BEST}")
    edge = petiole(f'leafnodes {{ remotes: [ {{ url: "{upstream.leaf_url}", compression: {{ mode: lz4, rtts: ["1h"] }} }} ] }}')
    await until_linked(upstream)
    await until(lambda: leafs(edge), 5, "the link at the edge")
    assert (leafs(edge)[0]["compression"], leafs(upstream)[0]["compression"]) == ("s2_uncompressed", "s2_best")


class Texts:
    """Payloads of all kinds: what compresses well, hardly, and not at all; of all sizes; repeated at all distances."""

    POOL = 1 << 20

    def __init__(self, seed):
        self.random = random.Random(seed)
        lines, size = [], 0
        while size < self.POOL:
            line = b'{"device":"gw-0042-%d","seq":%d,"celsius":%.1f,"ok":true}\n' % (
                self.random.randrange(40),
                100_000 + len(lines),
                self.random.randrange(180, 260) / 10,
            )
            lines.append(line)
            size += len(line)
        noise = self.random.randbytes(self.POOL)
        letters = bytes(self.random.choices(b"abcdefgh", k=self.POOL))
        runs = b"".join(bytes([self.random.randrange(256)]) * self.random.randrange(1, 3000) for _ in range(700))
        # A little noise through text: matches that end early, of every length.
        mixed = bytearray(b"".join(lines))
        for _ in range(20_000):
            mixed[self.random.randrange(len(mixed))] = self.random.randrange(256)
        self.pools = [b"".join(lines), noise, letters, runs, bytes(mixed)]

    def payload(self):
        size = min(int(self.random.lognormvariate(9.5, 1.7)), 900_000)
        pieces = []
        while size > 0:
            pool = self.random.choice(self.pools)
            length = min(size, self.random.choice((size, 5000, 200)), len(pool))
            start = self.random.randrange(len(pool) - length + 1)
            pieces.append(pool[start : start + length])
            size -= length
        return b"".join(pieces)


class Receiver(threading.Thread):
    """Reads messages of a raw client, and compares each with what is expected."""

    def __init__(self, client, expected):
        super().__init__(daemon=True)
        self.client = client
        self.expected = expected
        self.received = 0
        self.problem = None
        self.start()

    def run(self):
        try:
            for number, payload in enumerate(self.expected):
                while (header := self.client.line(60).split(b" ")) == [b"PING"]:
                    self.client.send("PONG\r\n")
                assert header[0] == b"MSG", header
                assert int(header[-1]) == len(payload), f"message {number} has {header[-1]} bytes, not {len(payload)}"
                assert self.client.exactly(len(payload) + 2, 60)[:-2] == payload, f"message {number} differs"
                self.received = number + 1
        except AssertionError as problem:
            self.problem = problem


def exchange(sender, receiver, payloads):
    """Sends all payloads, never far ahead of what was received."""
    reader = Receiver(receiver, payloads)
    ahead, sizes = 0, [len(payload) for payload in payloads]
    acknowledged = 0
    for payload in payloads:
        sender.send(b"PUB differential %d\r\n%b\r\n" % (len(payload), payload))
        ahead += len(payload)
        while ahead > 8 << 20 and reader.is_alive():
            while acknowledged < reader.received:
                ahead -= sizes[acknowledged]
                acknowledged += 1
            time.sleep(0.001)
    reader.join(120)
    assert reader.problem is None, reader.problem
    assert reader.received == len(payloads)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["s2_fast", "s2_better", "s2_best", pytest.param("lz4", marks=pytest.mark.ours)])
async def test_what_one_end_compresses_the_other_reads(petiole, hub, mode):
    """Petiole's encoder against Go's decoder, and the reverse; LZ4 between two agents."""
    upstream = petiole(name="hub", leaf=f"compression: {mode}") if mode == "lz4" else hub(leaf=f"compression: {mode}")
    edge = petiole(f'leafnodes {{ remotes: [ {{ url: "{upstream.leaf_url}", compression: {mode} }} ] }}')
    await until_linked(upstream)
    size = DIFFERENTIAL_MB * 1_000_000 / 6
    for seed, (source, target) in enumerate(((edge, upstream), (upstream, edge))):
        with RawClient(target.port) as receiver, RawClient(source.port) as sender:
            receiver.connect()
            sender.connect()
            receiver.send("SUB differential 1\r\n")
            receiver.flush()
            if target is edge:
                await until_interest(upstream, "differential")
            else:
                wait(lambda: probed(sender, receiver), 15, "interest has crossed")
            texts = Texts(f"{mode} {seed}")
            messages, crossed, before = 0, 0, leafs(edge)[0]
            while crossed < size:
                payloads = batch(texts, min(size - crossed, 50_000_000))
                exchange(sender, receiver, payloads)
                messages += len(payloads)
                crossed += sum(map(len, payloads))
            report(mode, source, messages, crossed, before, leafs(edge)[0], "wire_out_bytes" if source is edge else "wire_in_bytes")


def report(mode, source, messages, crossed, before, after, field):
    """A line for `make test-s2-differential`; a nats-server in petiole's place does not count what is on the wire."""
    wire = f", {(after[field] - before[field]) / crossed:.1%} of that on the wire" if field in after else ""
    print(f"\n{mode}, compressed by {source.name}: {messages:,} messages, {crossed / 1e6:,.1f} MB{wire}, all read as sent")


def batch(texts, size):
    payloads = []
    while size > 0:
        payloads.append(texts.payload())
        size -= len(payloads[-1])
    return payloads


def probed(sender, receiver):
    """Whether a message comes through; whatever else was sent before it has come by then too."""
    sender.send("PUB differential 5\r\nprobe\r\n")
    sender.flush()
    deadline = time.monotonic() + 0.2
    while b"probe\r\n" not in receiver.buffer and receiver.fill(deadline):
        pass
    if b"probe\r\n" not in receiver.buffer:
        return False
    while receiver.fill(time.monotonic() + 0.3):
        pass
    receiver.buffer = b""
    return True
