"""The link to a real hub is broken again and again, at any byte: interest comes back every time, nothing acknowledged is lost or doubled,
memory stays flat. PETIOLE_FAULTS=200 (15) of them; PETIOLE_SEED replays the choice of faults, not the timing of the two processes."""

import asyncio
import os
import random

import pytest

from faultyproxy import FaultyProxy
from readings import Devices, check, until_delivered
from waiting import until, until_interest

pytestmark = pytest.mark.ours

FAULTS = int(os.environ.get("PETIOLE_FAULTS", "15"))
SEED = int(os.environ.get("PETIOLE_SEED", str(random.randrange(1 << 32))))
# What a link, its buffers and what is in flight may add; a leak of one connection's buffers would pass it within a few hundred.
GROWTH_KB_MAX = 3_000


def resident_kb(server):
    with open(f"/proc/{server.pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.timeout(120 + 3 * FAULTS)
async def test_a_link_that_breaks_all_the_time_loses_and_doubles_nothing(agent, hub, client):
    print(f"seed {SEED}")
    upstream = hub(jetstream="domain: hub")
    at_hub = await client(upstream)
    await at_hub.jetstream().add_stream(name="READINGS", subjects=["sensors.>"])
    proxy = await FaultyProxy.start(upstream.leaf_port, SEED)
    edge = agent(
        f"""
streams: [ {{ name: TELEMETRY, subjects: ["sensors.>"], max_bytes: 256MB, discard: old }} ]
leafnodes {{ reconnect: "50ms", remotes: [ {{ url: "nats-leaf://127.0.0.1:{proxy.port}" }} ] }}
forward: [ {{ stream: TELEMETRY }} ]
""",
        jetstream="domain: edge",
    ).start()
    at_edge = await client(edge)
    commands = []

    async def obey(message):
        commands.append(message.data)

    await at_edge.subscribe("commands.>", cb=obey)
    devices, changes, early_kb = Devices(), 0, None
    try:
        while proxy.faults < FAULTS:
            await devices.publish(at_edge.jetstream(), 100)
            # Interest changes while the link is in any state.
            changes += 1
            await at_edge.subscribe(f"changing.{changes}")
            if proxy.faults >= FAULTS // 3 and early_kb is None:
                early_kb = resident_kb(edge)
            await asyncio.sleep(0.02)
        late_kb = resident_kb(edge)
        proxy.is_breaking = False
        # Connections that were made while it was breaking things may still break once.
        await until_delivered(client, upstream, devices.total, seconds=90)
        assert await check(client, upstream, devices) == devices.total
        await until_interest(upstream, f"changing.{changes}")
        await until_interest(upstream, "changing.1")
        await at_hub.publish("commands.reboot", b"now")
        await until(lambda: b"now" in commands, 15, "a command from the hub reaches the device")
        assert commands.count(b"now") == 1
        print(f"{proxy.faults} faults over {proxy.connections} connections, {devices.total} readings, RSS {early_kb} kB then {late_kb} kB")
        assert late_kb - early_kb < GROWTH_KB_MAX, f"RSS grew from {early_kb} to {late_kb} kB over {proxy.faults} faults"
    finally:
        await proxy.close()
