"""Store and forward: what a device had acknowledged is in the hub's stream exactly once and in order, whatever breaks in between."""

import asyncio
import json

import pytest

from delayproxy import DelayProxy
from readings import Devices, check, until_delivered
from waiting import until

pytestmark = pytest.mark.ours


STREAM = 'streams: [ { name: TELEMETRY, subjects: ["sensors.>"], max_bytes: 256MB, discard: old } ]\n'


def config(port, forward="{ stream: TELEMETRY }"):
    return f"""
{STREAM}
uplink {{ clusters: [ {{ name: hub, urls: ["nats-leaf://127.0.0.1:{port}"] }} ] }}
forward: [ {forward} ]
"""


async def add_readings(nc, batched, **config):
    """The hub's stream; nats-py's own request drops the field that lets batches in."""
    config = {"name": "READINGS", "subjects": ["sensors.>", "site.>"], "allow_batched": batched, **config}
    answer = json.loads((await nc.request("$JS.API.STREAM.CREATE.READINGS", json.dumps(config).encode(), timeout=5)).data)
    assert "error" not in answer and answer["config"].get("allow_batched", False) == batched


@pytest.fixture(params=[False, True], ids=["singly", "batched"])
async def setting(request, agent, hub, client):
    """An edge behind a proxy to a hub whose stream takes sensors.>, also in batches or not; (edge, hub, proxy)."""
    upstream = hub(jetstream="domain: hub")
    await add_readings(await client(upstream), request.param)
    proxy = DelayProxy(upstream.leaf_port)
    edge = agent(config(proxy.port), jetstream="domain: edge")
    yield edge, upstream, proxy
    proxy.close()


@pytest.mark.smoke
async def test_readings_arrive_once_in_order_with_their_origin(setting, client):
    edge, upstream, _ = setting
    edge.start()
    devices = Devices()
    await devices.publish((await client(edge)).jetstream(), 2000)
    await until_delivered(client, upstream, 2000)
    assert await check(client, upstream, devices) == 2000
    message = await (await client(upstream)).jetstream().get_msg("READINGS", 1)
    assert message.subject == "sensors.0.temperature"
    assert message.headers["Nats-Msg-Id"].startswith("edge:TELEMETRY:")
    assert message.headers["Petiole-Origin"].split()[:3] == ["edge", "TELEMETRY", "1"]
    (forward,) = edge.json("/uplinkz")["forwards"]
    assert (forward["stream"], forward["hub_stream"], forward["backlog"], forward["in_flight"]) == ("TELEMETRY", "READINGS", 0, 0)


async def test_a_backlog_from_an_outage_is_delivered(setting, client):
    edge, upstream, proxy = setting
    proxy.cut()
    edge.start()
    devices = Devices()
    await devices.publish((await client(edge)).jetstream(), 3000)
    assert edge.json("/uplinkz")["forwards"][0]["backlog"] == 3000
    proxy.restore()
    await until_delivered(client, upstream, 3000)
    assert await check(client, upstream, devices) == 3000


async def test_batches_carry_one_subject_over_a_long_link_in_order(agent, hub, client):
    upstream = hub(jetstream="domain: hub")
    nc = await client(upstream)
    await add_readings(nc, True)
    proxy = DelayProxy(upstream.leaf_port, delay_ms=50)
    try:
        edge = agent(config(proxy.port), jetstream="domain: edge")
        proxy.cut()
        edge.start()
        devices = Devices(count=1)
        await devices.publish((await client(edge)).jetstream(), 3000)
        answers = 0

        async def answered(message):
            nonlocal answers
            answers += 1

        for kind in "pb":
            await nc.subscribe(f"_INBOX.*.{kind}.>", cb=answered)
        proxy.restore()
        # One by one, a message of one subject takes a round trip of 100 ms: five minutes.
        await until_delivered(client, upstream, 3000, seconds=30)
        await until(lambda: edge.json("/uplinkz")["forwards"][0]["backlog"] == 0, 20, "the last acknowledgement")
        assert await check(client, upstream, devices) == 3000
        # A first message by itself, then batches of up to 1,024, each answered now and then.
        assert answers < 3000 / 20
    finally:
        proxy.close()


async def test_nothing_is_lost_or_doubled_when_everything_is_killed_in_turn(setting, client):
    edge, upstream, proxy = setting
    edge.start()
    devices = Devices()
    for breakage in range(6):
        await devices.publish((await client(edge)).jetstream(), 500)
        match breakage % 3:
            case 0:
                edge.kill()
                edge.start()
            case 1:
                upstream.kill()
                await devices.publish((await client(edge)).jetstream(), 300)
                upstream.start()
            case 2:
                proxy.cut()
                await devices.publish((await client(edge)).jetstream(), 300)
                edge.kill()
                edge.start()
                proxy.restore()
    await until_delivered(client, upstream, devices.total)
    assert await check(client, upstream, devices) == devices.total


# Into a work queue no consumer may look but one that acknowledges, and its own would be in the way.
@pytest.mark.parametrize(("retention", "cuts"), [("limits", 5), ("workqueue", 2)])
async def test_no_duplicates_when_the_outage_outlasts_the_hubs_window(agent, hub, client, retention, cuts):
    upstream = hub(jetstream="domain: hub")
    js = (await client(upstream)).jetstream()
    await js.add_stream(name="READINGS", subjects=["sensors.>"], retention=retention, duplicate_window=0.1)
    proxy = DelayProxy(upstream.leaf_port, delay_ms=20)
    try:
        # By a remote, which is dialled again at once: an uplink waits longer each time for a hub that it loses as soon as it has it.
        remote = f'leafnodes {{ reconnect: "100ms", remotes: [ {{ url: "nats-leaf://127.0.0.1:{proxy.port}" }} ] }}'
        edge = agent(f"{STREAM}{remote}\nforward: [ {{ stream: TELEMETRY }} ]", jetstream="domain: edge").start()
        devices = Devices()
        # Cut while many are in flight: stored at the hub, their acks lost on the way back.
        for _ in range(cuts):
            publishing = asyncio.create_task(devices.publish((await client(edge)).jetstream(), 400))
            before = (await js.stream_info("READINGS")).state.messages

            async def moving():
                return (await js.stream_info("READINGS")).state.messages > before

            await until(moving, 30, "readings on their way", every=0.005)
            proxy.cut()
            await publishing
            await asyncio.sleep(0.3)  # the hub forgets the message ids
            proxy.restore()
        await until_delivered(client, upstream, devices.total)
        await asyncio.sleep(0.5)  # a duplicate would come now
        assert await check(client, upstream, devices) == devices.total
    finally:
        proxy.close()


async def test_subjects_are_mapped_and_filtered(agent, hub, client):
    upstream = hub(jetstream="domain: hub")
    js = (await client(upstream)).jetstream()
    await js.add_stream(name="READINGS", subjects=["site.>"])
    forward = '{ stream: TELEMETRY, filter: "sensors.*.temperature", to: "site.42.*.temperature" }'
    edge = agent(config(upstream.leaf_port, forward), jetstream="domain: edge").start()
    mine = (await client(edge)).jetstream()
    await mine.publish("sensors.1.temperature", b'{"device":1,"n":1}')
    await mine.publish("sensors.1.noise", b'{"device":1,"n":2}')
    await mine.publish("sensors.2.temperature", b'{"device":2,"n":3}')
    await until_delivered(client, upstream, 2)
    subjects = [(await js.get_msg("READINGS", sequence)).subject for sequence in (1, 2)]
    assert subjects == ["site.42.1.temperature", "site.42.2.temperature"]


async def test_a_hub_without_the_stream_is_waited_for(agent, hub, client):
    upstream = hub(jetstream="domain: hub")
    edge = agent(config(upstream.leaf_port), jetstream="domain: edge").start()
    devices = Devices()
    await devices.publish((await client(edge)).jetstream(), 200)
    js = (await client(upstream)).jetstream()
    await js.add_stream(name="READINGS", subjects=["sensors.>"])
    await until_delivered(client, upstream, 200, seconds=60)
    assert await check(client, upstream, devices) == 200


async def test_forwarded_subjects_do_not_cross_live_as_well(setting, client):
    edge, upstream, _ = setting
    edge.start()
    at_hub = await client(upstream)
    live = await at_hub.subscribe("sensors.>")
    await at_hub.flush()
    devices = Devices()
    await devices.publish((await client(edge)).jetstream(), 100)
    await until_delivered(client, upstream, 100)
    got = []
    while len(got) < 100:
        got.append((await live.next_msg(5)).data)
    await asyncio.sleep(0.3)  # a second copy would come now
    assert live.pending_msgs == 0 and await check(client, upstream, devices) == 100
