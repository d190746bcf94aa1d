"""A link over a long way, one that is told of changes of the network, one that is limited, and what monitoring says of all that."""

import asyncio
import os
import re
import shutil
import subprocess
import time

import pytest

from delayproxy import DelayProxy
from elsewhere import Elsewhere
from rawclient import RawClient
from servers import until as wait
from waiting import leafs, until, until_interest, until_linked

pytestmark = pytest.mark.ours


@pytest.fixture
def delayed():
    """delayed(port, milliseconds) is a port behind a way of so long."""
    proxies = []

    def make(port, delay_ms):
        proxies.append(DelayProxy(port, delay_ms))
        return proxies[-1].port

    yield make
    for proxy in proxies:
        proxy.close()


async def comes_up_over_a_long_way(petiole, hub, client, delayed, mode):
    # The hub waits two seconds for CONNECT, which comes after one round trip, or two with compression.
    upstream = hub(leaf=f"authorization {{ timeout: 10 }}, compression: {mode}", name=f"hub-{mode}")
    port = delayed(upstream.leaf_port, 1000)
    edge = petiole(f'leafnodes {{ remotes: [ {{ url: "nats-leaf://127.0.0.1:{port}", compression: {mode} }} ] }}', name=f"edge-{mode}")
    at_edge, at_hub = await client(edge), await client(upstream)
    here = await at_edge.subscribe("far")
    await at_edge.flush()
    await until_linked(upstream, seconds=20)
    await until_interest(upstream, "far", seconds=20)
    await at_hub.publish("far", b"away")
    assert (await here.next_msg(10)).data == b"away"
    (leaf,) = await until(lambda: [leaf for leaf in leafs(edge) if leaf.get("rtt", "").startswith("2.")], 15, "a round trip of two seconds")
    assert leaf["compression"] == ("off" if mode == "off" else "s2_best")
    assert edge.log().count("Leafnode connection created") == 1 and "connection closed" not in edge.log()


async def test_a_link_over_two_seconds_of_round_trip_comes_up_and_works(petiole, hub, client, delayed):
    await asyncio.gather(*(comes_up_over_a_long_way(petiole, hub, client, delayed, mode) for mode in ("off", "s2_auto")))


def uplink(near_url, far):
    """Two ways to one hub, of which the first is nearer."""
    return f"""
      streams: [ {{ name: S, subjects: ["s.>"] }} ]
      uplink {{ clusters: [ {{ name: near, urls: ["{near_url}"] }}, {{ name: far, urls: ["nats-leaf://127.0.0.1:{far}"] }} ] }}
      forward: [ {{ stream: S }} ]"""


async def through_a_lost_way(edge, upstream, client, lose, seconds):
    """Readings go on while the way is lost: each is at the hub in the end, once and in order. Returns how long it took to take the other."""
    at_edge, at_hub = (await client(edge)).jetstream(), (await client(upstream)).jetstream()
    await at_hub.add_stream(name="ALL", subjects=["s.>"])
    await until(lambda: edge.json("/uplinkz").get("cluster") == "near" and leafs(edge), 20, "the link to the nearer cluster")
    count = 0

    async def publish():
        nonlocal count
        await at_edge.publish("s.a", b"%d" % count)
        count += 1

    async def arrived():
        return (await at_hub.stream_info("ALL")).state.messages

    for _ in range(5):
        await publish()
    assert await until(arrived, 10, "the first readings at the hub")
    lose()
    began = time.monotonic()

    async def moved():
        await publish()
        return edge.json("/uplinkz").get("cluster") == "far"

    await until(moved, seconds, f"the other way is taken\n{edge.log()}", every=0.1)
    took = time.monotonic() - began

    async def complete():
        return await arrived() == count

    await until(complete, 20, "every reading at the hub")
    subscription = await at_hub.subscribe("s.>", ordered_consumer=True)
    assert [int((await subscription.next_msg(5)).data) for _ in range(count)] == list(range(count))
    return took


async def loses_the_way(petiole, hub, client, delayed):
    """Nothing is acknowledged any more, nobody says so. Returns how long it took, or nothing where the way cannot be lost."""
    upstream = hub(jetstream="domain: hub", name="hub-lost")
    with Elsewhere() as place:
        if place is None:
            return None
        proxy = DelayProxy(upstream.leaf_port, 0, place.listener)
        try:
            near = f"nats-leaf://{place.address}:{proxy.port}"
            edge = petiole(uplink(near, delayed(upstream.leaf_port, 30)), jetstream="domain: edge", name="edge-lost")
            return await through_a_lost_way(edge, upstream, client, place.lose, 25)
        finally:
            proxy.close()


async def meets_silence(petiole, hub, client, delayed):
    """Everything is acknowledged, by a box on the way that lives while what is behind it does not. Returns how long it took."""
    upstream = hub(jetstream="domain: hub", name="hub-silent")
    proxy = DelayProxy(upstream.leaf_port)
    try:
        near = f"nats-leaf://127.0.0.1:{proxy.port}"
        edge = petiole(uplink(near, delayed(upstream.leaf_port, 30)), jetstream="domain: edge", name="edge-silent")
        took = await through_a_lost_way(edge, upstream, client, proxy.silence, 60)
    finally:
        proxy.close()
    assert "does not answer PING" in edge.log()
    return took


async def test_a_lost_way_and_a_peer_that_says_nothing_any_more_are_noticed_in_time(petiole, hub, client, delayed):
    # Side by side, as both are waited for.
    lost, silent = await asyncio.gather(*(act(petiole, hub, client, delayed) for act in (loses_the_way, meets_silence)))
    assert 20 < silent < 45, f"{silent:.1f} s"
    if lost is None:
        pytest.skip("network namespaces need root and iproute2")
    assert 8 < lost < 15, f"{lost:.1f} s"


async def test_a_hub_that_can_be_reached_again_is_dialled_as_soon_as_the_network_changes(petiole, hub):
    """An address that comes stands for a cable that is plugged in."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("changing addresses needs root and iproute2")
    address = f"127.77.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}/32"

    def ip(verb):
        return subprocess.run(["ip", "address", verb, address, "dev", "lo", "scope", "global"], capture_output=True).returncode == 0

    upstream = hub()
    edge = petiole(f'leafnodes {{ reconnect: "10m", remotes: [ {{ url: "{upstream.leaf_url}" }} ] }}')
    await until_linked(upstream)
    upstream.stop()
    await until(lambda: "connection closed" in edge.log(), 10, "the loss of the link")
    upstream.start()
    if not ip("add"):
        pytest.skip("addresses cannot be changed here")
    try:
        await until_linked(upstream, seconds=5)
    finally:
        ip("del")


async def test_a_limited_uplink_sends_at_its_rate(petiole, hub):
    upstream = hub()
    proxy = DelayProxy(upstream.leaf_port)
    edge = petiole(
        f'uplink {{ clusters: [ {{ name: a, url: "nats-leaf://127.0.0.1:{proxy.port}" }} ], compression: off, rate_limit: "20KB" }}'
    )
    await until_linked(upstream)
    with RawClient(upstream.port) as receiver, RawClient(edge.port) as sender:
        receiver.connect()
        sender.connect()
        receiver.send("SUB limited 1\r\n")
        receiver.flush()
        wait(lambda: arrives(sender, receiver), 15, "interest has crossed")
        began, before = time.monotonic(), proxy.to_target
        sender.send(b"".join(b"PUB limited 1000\r\n%b\r\n" % (b"x" * 1000) for _ in range(80)))
        for _ in range(80):
            assert receive(receiver) == 1000
        took, carried = time.monotonic() - began, proxy.to_target - before
    (leaf,) = leafs(edge)
    proxy.close()
    # A quarter of a second's bytes may leave at once, and what the limit saved up while nothing was said.
    assert 81_000 < carried < 84_000 and 0.75 < (carried - 5 * 1024) / took / (20 * 1024) < 1.05, (carried, took)
    assert leaf["rate_limit"] == 20 * 1024 and leaf["dropped"] == 0
    assert leaf["plain_out_bytes"] <= leaf["wire_out_bytes"] and leaf["keepalive_bytes"] >= 200


def receive(receiver):
    """Takes the next message and returns its size."""
    while (line := receiver.line(20)) == b"PING":
        pass
    size = int(line.split()[-1])
    receiver.exactly(size + 2, 20)
    return size


def arrives(sender, receiver):
    sender.send("PUB limited 5\r\nprobe\r\n")
    sender.flush()
    deadline = time.monotonic() + 0.2
    while b"probe\r\n" not in receiver.buffer and receiver.fill(deadline):
        pass
    found = b"probe\r\n" in receiver.buffer
    while found and receiver.fill(time.monotonic() + 0.3):
        pass
    receiver.buffer = b""
    return found


SAMPLE = re.compile(r'petiole_[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? -?[0-9]+(\.[0-9]+)?')


@pytest.mark.smoke
async def test_metrics_are_prometheus_text_and_say_what_the_other_pages_say(petiole, hub, client):
    upstream = hub(jetstream="domain: hub")
    edge = petiole(
        f'streams: [ {{ name: S, subjects: ["s.>"] }} ]\nuplink {{ clusters: [ {{ name: "north \\"1\\"", url: "{upstream.leaf_url}" }} ] }}\n'
        "forward: [ { stream: S } ]",
        jetstream="domain: edge",
    )
    await until_linked(upstream)
    js = (await client(edge)).jetstream()
    for number in range(7):
        await js.publish("s.a", b"%d" % number)
    status, page = edge.get("/metrics")
    assert status == 200 and page.endswith("\n")
    values, families = {}, set()
    for line in page.splitlines():
        if line.startswith("# "):
            word, name = line.split(" ")[1:3]
            if word == "TYPE":
                assert name not in families, f"{name} is there twice"
                families.add(name)
            continue
        assert SAMPLE.fullmatch(line), line
        name, value = line.rsplit(" ", 1)
        assert name.split("{")[0] in families
        values[name] = float(value)
    assert values['petiole_stream_messages{account="$G",stream="S"}'] == 7
    assert values['petiole_uplink_cluster_linked{cluster="north \\"1\\""}'] == 1
    assert values['petiole_forward_backlog_messages{account="$G",stream="S",filter=">"}'] == 7
    assert values["petiole_leaf_links"] == 1 and values["petiole_store_healthy"] == 1
    wire = [value for name, value in values.items() if name.startswith("petiole_leaf_wire_bytes_total")]
    assert len(wire) == 2 and all(value > 0 for value in wire)
    assert abs(values["petiole_start_time_seconds"] - time.time()) < 60


async def test_small_messages_go_together_on_a_metered_link(petiole, hub, delayed):
    """As many bytes for the same readings cost less, because those of one round trip are compressed together."""
    costs = {}
    for metered in ("false", "true"):
        upstream = hub(name=f"hub-{metered}", leaf="compression: s2_fast")
        port = delayed(upstream.leaf_port, 60)
        edge = petiole(
            f'uplink {{ metered: {metered}, compression: s2_fast, clusters: [ {{ name: a, url: "nats-leaf://127.0.0.1:{port}" }} ] }}',
            name=f"edge-{metered}",
        )
        await until_linked(upstream)
        with RawClient(upstream.port) as receiver, RawClient(edge.port) as sender:
            receiver.connect()
            sender.connect()
            receiver.send("SUB limited 1\r\n")
            receiver.flush()
            wait(lambda: arrives(sender, receiver), 15, "interest has crossed")
            # The first PING has told how far away the hub is.
            await until(lambda: leafs(edge)[0].get("rtt"), 10, "a round trip")
            before = leafs(edge)[0]["wire_out_bytes"]
            for number in range(100):
                body = f'{{"device":"gw-0042","sequence":{number},"temperature":{20 + number % 7}.5,"humidity":{40 + number % 9}}}'
                sender.send(f"PUB limited {len(body)}\r\n{body}\r\n")
                time.sleep(0.01)
            for _ in range(100):
                receive(receiver)
            costs[metered] = leafs(edge)[0]["wire_out_bytes"] - before
    assert costs["true"] < costs["false"] / 2, costs
