"""What a hub refuses: for good (set aside, where the configuration says where) or for a while (held); and what an operator holds."""

import asyncio
import json

import pytest

from readings import Devices, check, until_delivered
from waiting import until

pytestmark = pytest.mark.ours

STREAMS = """
streams: [
  { name: TELEMETRY, subjects: ["sensors.>"] }
  { name: DEAD, subjects: ["dead.>"] }
]
"""


def config(hub, *forwards, user=""):
    remote = f'leafnodes {{ reconnect: "100ms", remotes: [ {{ url: "nats-leaf://{user}127.0.0.1:{hub.leaf_port}" }} ] }}'
    return f"{STREAMS}{remote}\nforward: [ {' '.join(forwards)} ]\n"


def forward_of(edge, stream="TELEMETRY"):
    return next(entry for entry in edge.json("/uplinkz")["forwards"] if entry["stream"] == stream)


async def until_forward(edge, seconds=20, **wanted):
    def reached():
        entry = forward_of(edge)
        return all(entry.get(key) == value for key, value in wanted.items())

    await until(reached, seconds, f"the forward shows {wanted}", every=0.05)
    return forward_of(edge)


async def hub_stream(client, hub, **options):
    js = (await client(hub)).jetstream()
    await js.add_stream(name="READINGS", subjects=["sensors.>"], **options)
    return js


@pytest.mark.smoke
async def test_a_message_too_large_for_the_hub_is_set_aside_and_the_rest_goes_on(petiole, hub, client):
    upstream = hub(jetstream="domain: hub")
    at_hub = await hub_stream(client, upstream, max_msg_size=1000)
    edge = petiole(config(upstream, '{ stream: TELEMETRY, dead_letter: "dead.telemetry" }'), jetstream="domain: edge")
    js = (await client(edge)).jetstream()
    for number in range(10):
        await js.publish(f"sensors.{number % 2}", b"x" * (2000 if number == 4 else 20), headers={"Kind": "test"})
    entry = await until_forward(edge, set_aside=1, delivered=9, acknowledged_seq=10)
    assert entry["refused_too_large"] == 1 and entry["state"] == "up to date"
    assert (await at_hub.stream_info("READINGS")).state.messages == 9
    dead = await js.get_msg("DEAD", 1)
    assert dead.subject == "dead.telemetry" and dead.data == b"x" * 2000
    assert dead.headers["Petiole-Subject"] == "sensors.0" and dead.headers["Kind"] == "test"
    assert dead.headers["Petiole-Origin"].split()[1:3] == ["TELEMETRY", "5"]
    assert "maximum" in dead.headers["Petiole-Refused"]


async def test_a_subject_that_the_hub_does_not_permit_is_set_aside(petiole, hub, client):
    upstream = hub(
        """
accounts { A: { jetstream: enabled, users: [
  { user: gw, password: pw, permissions: { publish: { deny: ["sensors.secret"] } } }
  { user: all, password: pw }
] } }
no_auth_user: all
""",
        jetstream="domain: hub",
    )
    at_hub = await hub_stream(client, upstream)
    edge = petiole(config(upstream, '{ stream: TELEMETRY, dead_letter: "dead.telemetry" }', user="gw:pw@"), jetstream="domain: edge")
    js = (await client(edge)).jetstream()
    for subject in ("sensors.ok", "sensors.secret", "sensors.ok"):
        await js.publish(subject, b"1")
    entry = await until_forward(edge, set_aside=1, delivered=2, acknowledged_seq=3)
    assert entry["refused_not_permitted"] == 1
    assert (await at_hub.stream_info("READINGS")).state.messages == 2
    assert (await js.get_msg("DEAD", 1)).headers["Petiole-Subject"] == "sensors.secret"


async def test_a_full_stream_holds_the_forward_until_there_is_room(petiole, hub, client):
    upstream = hub(jetstream="domain: hub")
    at_hub = await hub_stream(client, upstream, max_msgs=5, discard="new")
    edge = petiole(config(upstream, '{ stream: TELEMETRY, dead_letter: "dead.telemetry" }'), jetstream="domain: edge")
    devices = Devices(1)
    await devices.publish((await client(edge)).jetstream(), 8)
    entry = await until_forward(edge, state="refused", acknowledged_seq=5)
    assert entry["refused_stream_full"] >= 1 and entry["set_aside"] == 0 and "maximum messages exceeded" in entry["error"]
    await at_hub.purge_stream("READINGS")
    await until_forward(edge, acknowledged_seq=8, state="up to date", delivered=8)


async def test_a_message_too_large_holds_a_forward_without_a_place_for_it(petiole, hub, client):
    upstream = hub(jetstream="domain: hub")
    await hub_stream(client, upstream, max_msg_size=1000)
    edge = petiole(config(upstream, "{ stream: TELEMETRY }"), jetstream="domain: edge")
    js = (await client(edge)).jetstream()
    await js.publish("sensors.1", b"small")
    await js.publish("sensors.1", b"x" * 2000)
    entry = await until_forward(edge, state="refused", acknowledged_seq=1)
    assert entry["refused_too_large"] >= 1 and entry["backlog"] == 1


async def test_a_pause_outlives_a_restart(petiole, hub, client):
    upstream = hub(jetstream="domain: hub")
    await hub_stream(client, upstream)
    edge = petiole(config(upstream, "{ stream: TELEMETRY }"), jetstream="domain: edge")
    nc = await client(edge)
    answer = json.loads((await nc.request("$PETIOLE.FORWARD.TELEMETRY.PAUSE", b"", timeout=5)).data)
    assert answer == {"stream": "TELEMETRY", "paused": True}
    devices = Devices(3)
    await devices.publish(nc.jetstream(), 30)
    assert forward_of(edge)["state"] == "paused" and forward_of(edge)["backlog"] == 30
    edge.kill()
    await asyncio.to_thread(edge.start)
    nc = await client(edge)
    await devices.publish(nc.jetstream(), 30)
    await until_forward(edge, state="paused", backlog=60)
    answer = json.loads((await nc.request("$PETIOLE.FORWARD.TELEMETRY.RESUME", b"", timeout=5)).data)
    assert answer == {"stream": "TELEMETRY", "paused": False}
    await until_delivered(client, upstream, 60)
    assert await check(client, upstream, devices) == 60


async def test_the_stream_with_the_lower_number_goes_first(agent, hub, client):
    upstream = hub(jetstream="domain: hub")
    at_hub = (await client(upstream)).jetstream()
    await at_hub.add_stream(name="BOTH", subjects=["sensors.>", "alarms.>"])
    edge = agent(
        """
streams: [ { name: TELEMETRY, subjects: ["sensors.>"] }, { name: ALARMS, subjects: ["alarms.>"] } ]
"""
        + f'leafnodes {{ reconnect: "100ms", remotes: [ {{ url: "nats-leaf://127.0.0.1:{upstream.leaf_port}" }} ] }}\n'
        + "forward: [ { stream: TELEMETRY, priority: 1, window: 8 }, { stream: ALARMS, window: 8 } ]\n",
        jetstream="domain: edge",
    )
    edge.start()
    nc = await client(edge)
    # Both wait; then both go at once.
    for stream in ("TELEMETRY", "ALARMS"):
        await nc.request(f"$PETIOLE.FORWARD.{stream}.PAUSE", b"", timeout=5)
    js = nc.jetstream()
    for number in range(200):
        await js.publish(f"sensors.{number % 20}", b"1")
        await js.publish(f"alarms.{number % 20}", b"1")
    await asyncio.gather(*(nc.request(f"$PETIOLE.FORWARD.{stream}.RESUME", b"", timeout=5) for stream in ("ALARMS", "TELEMETRY")))

    async def all_there():
        return (await at_hub.stream_info("BOTH")).state.messages == 400

    await until(all_there, 30, "400 messages at the hub", every=0.05)
    subjects = [(await at_hub.get_msg("BOTH", sequence)).subject for sequence in range(1, 401)]
    last_alarm = max(index for index, subject in enumerate(subjects) if subject.startswith("alarms"))
    # What was under way when the alarms began may stand among them: a window of messages.
    assert sum(subject.startswith("sensors") for subject in subjects[:last_alarm]) <= 16
