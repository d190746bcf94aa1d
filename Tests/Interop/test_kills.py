"""The power goes away again and again while devices publish: what was acknowledged is there, where its acknowledgement said."""

import asyncio

import nats.errors
import pytest
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError, NoStreamResponseError

from servers import RUNNER
from waiting import until

pytestmark = pytest.mark.ours

KILLS = 5 if RUNNER else 50
CLIENTS = 3
PUBLISHERS = 8  # of each client, each with one message in flight
ACKS_BETWEEN = 60


async def publish(nc, name, acked, stopped):
    # Those whose acknowledgement a kill has swallowed wait no longer than that.
    js = nc.jetstream(timeout=0.5)
    number = 0
    while not stopped.is_set():
        number += 1
        reading = f"{name}-{number}"
        try:
            ack = await js.publish(f"k.{name}", reading.encode(), headers={"Nats-Msg-Id": reading})
        except (nats.errors.Error, APIError, NoStreamResponseError, asyncio.TimeoutError, OSError):
            # Not acknowledged: it may be in the stream or not. A device would ask again; here the next reading is as good.
            await asyncio.sleep(0.01)
            continue
        assert not ack.duplicate
        assert ack.seq not in acked, f"{reading} and {acked.get(ack.seq)} were both acknowledged as {ack.seq}"
        acked[ack.seq] = reading


async def test_no_acknowledged_reading_is_lost_over_many_kills(petiole, client):
    server = petiole(jetstream=True)
    clients = [
        await client(server, max_reconnect_attempts=-1, reconnect_time_wait=0.02, connect_timeout=1, error_cb=ignore) for _ in range(CLIENTS)
    ]
    await clients[0].jetstream().add_stream(name="K", subjects=["k.>"])
    acked, stopped = {}, asyncio.Event()
    tasks = [
        asyncio.create_task(publish(nc, f"{number}-{index}", acked, stopped))
        for number, nc in enumerate(clients)
        for index in range(PUBLISHERS)
    ]
    for _ in range(KILLS):
        enough = len(acked) + ACKS_BETWEEN
        await until(lambda enough=enough: len(acked) >= enough, 60, "readings are acknowledged again", every=0.002)
        server.kill()
        await asyncio.to_thread(server.start)
    stopped.set()
    await asyncio.gather(*tasks)

    nc = await client(server)
    reader = await nc.jetstream().pull_subscribe("k.>", stream="K", config=ConsumerConfig(ack_policy=AckPolicy.NONE))
    stored = {}
    total = (await nc.jetstream().stream_info("K")).state.messages
    while len(stored) < total:
        for message in await reader.fetch(500, timeout=10):
            stored[message.metadata.sequence.stream] = message.data.decode()
    missing = {sequence: reading for sequence, reading in acked.items() if stored.get(sequence) != reading}
    assert not missing, f"{len(missing)} of {len(acked)} acknowledged readings are gone after {KILLS} kills: {sorted(missing.items())[:5]}"
    assert len(acked) >= KILLS * ACKS_BETWEEN


async def ignore(_):
    """Lost connections are what this is about."""
