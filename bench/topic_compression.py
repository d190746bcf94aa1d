"""What a leaf link costs on the wire, and the processor: readings as devices send them, one by one as on a quiet gateway and many at once as behind a
backlog. The bytes are the kernel's counts of the hub's end, both ways, with 52 bytes of TCP and IP headers for each segment."""

import random
import socket
import time

import process
from rows import Row
from servers import until
from wire import Wire

# A second's worth of readings, and how long they last.
PACED_RATE = 50
PACED_SECONDS = 8


def readings(count):
    """205 bytes each with the LMSG line; the same for every server."""
    chance = random.Random(5)
    lines = []
    for number in range(count):
        device = chance.randrange(40)
        body = (
            f'{{"device":"gw-0042-{device}","seq":{100_000 + number},"ts":"2026-11-22T19:45:{10 + number % 50}.{chance.randrange(100, 1000)}Z",'
            f'"temperature":{chance.randrange(180, 260) / 10},"humidity":{chance.randrange(30, 70)},"ok":true}}'
        )
        lines.append(f"PUB sensors.site-1.{device}.climate {len(body)}\r\n{body}\r\n".encode())
    return lines


def connected(port, subscribe=None):
    raw = socket.create_connection(("127.0.0.1", port))
    raw.sendall(b'CONNECT {"verbose":false}\r\n' + (f"SUB {subscribe} 1\r\n".encode() if subscribe else b"") + b"PING\r\n")
    text = b""
    while b"PONG\r\n" not in text:
        text += raw.recv(65536)
    return raw


def pair(rig, side, mode, metered=False):
    """An edge and a hub that are linked, with a publisher here and a subscriber there. LZ4 needs an agent for a hub."""
    if mode == "lz4":
        hub = rig.server(side, name="hub", leaf="compression: accept")
    else:
        hub = rig.server(rig.sides["default"], name="hub", leaf=f"compression: {mode}")
    remote = f'leafnodes {{ remotes: [ {{ url: "{hub.leaf_url}", compression: {mode} }} ] }}'
    uplink = f'uplink {{ metered: true, compression: {mode}, clusters: [ {{ name: hub, url: "{hub.leaf_url}" }} ] }}'
    edge = rig.server(side, config=uplink if metered and side.is_petiole else remote)
    until(lambda: hub.json("/leafz")["leafnodes"] == 1, 20, "the leaf link")
    receiver, sender = connected(hub.port, "sensors.>"), connected(edge.port)
    # Interest has crossed when a message does.
    receiver.settimeout(0.2)

    def crosses():
        sender.sendall(b"PUB sensors.first 0\r\n\r\n")
        try:
            return receiver.recv(65536)
        except TimeoutError:
            return None

    until(crosses, 20, "interest has crossed")
    time.sleep(1.5)  # the first PING is over
    receiver.settimeout(60)
    return edge, hub, sender, receiver


def receive(receiver, count):
    """Reads until so many messages have come."""
    mark, tail, seen = b"MSG sensors.site-1.", b"", 0
    while seen < count:
        data = receiver.recv(1 << 18)
        assert data, "the hub closed"
        seen += (tail + data).count(mark)
        tail = (tail + data)[1 - len(mark) :]


def rows(rig):
    paced = readings(PACED_RATE * PACED_SECONDS)
    bulk = readings(rig.count(100_000))
    plain = sum(len(line) + 1 for line in bulk) / len(bulk)

    def one_by_one(mode, metered=False):
        def run(side):
            edge, hub, sender, receiver = pair(rig, side, mode, metered)
            before, began = Wire(hub.leaf_port), time.monotonic()
            for number, line in enumerate(paced):
                time.sleep(max(0, began + number / PACED_RATE - time.monotonic()))
                sender.sendall(line)
            receive(receiver, len(paced))
            return (Wire(hub.leaf_port).whole - before.whole) / len(paced)

        return run

    def at_once(mode):
        def run(side):
            edge, hub, sender, receiver = pair(rig, side, mode)
            before, cpu = Wire(hub.leaf_port), process.cpu_seconds(edge.pid)
            # Windows of some hundred readings: the client is never far ahead of the link.
            for start in range(0, len(bulk), 400):
                window = bulk[start : start + 400]
                sender.sendall(b"".join(window))
                receive(receiver, len(window))
            cpu = process.cpu_seconds(edge.pid) - cpu
            return (Wire(hub.leaf_port).payload - before.payload) / len(bulk) / plain, cpu / len(bulk) * 1e6

        return run

    for mode in ("off", "s2_fast", "s2_best"):
        both = rig.compare(f"50 readings a second, {mode}", one_by_one(mode), rounds=1)
        yield Row("compression", f"50 readings/s, {mode}: on the wire each", "B", both, against="default")
        theirs = both["default"]
        if mode == "s2_best":
            ours = rig.compare("50 readings a second, metered, s2_best", one_by_one(mode, True), ("petiole",), rounds=1)
            yield Row("compression", "the same, metered", "B", {**ours, "default": theirs})
            ours = rig.compare("50 readings a second, lz4", one_by_one("lz4"), ("petiole",), rounds=1)
            yield Row("compression", "50 readings/s, lz4 (theirs s2_best)", "B", {**ours, "default": theirs})
            ours = rig.compare("50 readings a second, metered, lz4", one_by_one("lz4", True), ("petiole",), rounds=1)
            yield Row("compression", "the same, metered", "B", {**ours, "default": theirs})
    for mode in ("s2_fast", "s2_better", "s2_best", "lz4"):
        sides = ("petiole",) if mode == "lz4" else ("petiole", "default")
        both = rig.compare(f"readings at once, {mode}", at_once(mode), sides)
        yield Row("compression", f"400 readings at once, {mode}: share of plain", "", {side: value[0] for side, value in both.items()}, against="default")
        yield Row("compression", f"400 readings at once, {mode}: CPU each", "us", {side: value[1] for side, value in both.items()}, against="default")
