"""Requests that require an API level that no server has, to every verb: the same answers as nats-server's, field by field."""

import asyncio
import json

import nats
import pytest

VERBS = """
    INFO STREAM.CREATE.S STREAM.UPDATE.S STREAM.INFO.S STREAM.NAMES STREAM.LIST STREAM.DELETE.X STREAM.PURGE.S STREAM.MSG.GET.S
    STREAM.MSG.DELETE.S STREAM.SNAPSHOT.S STREAM.RESTORE.Y STREAM.PEER.REMOVE.S STREAM.LEADER.STEPDOWN.S CONSUMER.CREATE.S
    CONSUMER.CREATE.S.D CONSUMER.CREATE.S.D.s CONSUMER.DURABLE.CREATE.S.D CONSUMER.NAMES.S CONSUMER.LIST.S CONSUMER.INFO.S.C
    CONSUMER.DELETE.S.C CONSUMER.PAUSE.S.C CONSUMER.RESET.S.C CONSUMER.UNPIN.S.C CONSUMER.LEADER.STEPDOWN.S.C
    CONSUMER.MSG.NEXT.S.C DIRECT.GET.S META.LEADER.STEPDOWN SERVER.REMOVE ACCOUNT.PURGE.x
""".split()
# How long no answer has to stay away to count as none.
SILENCE = 1


async def answers(nc, level):
    async def ask(verb):
        try:
            message = await nc.request(f"$JS.API.{verb}", b"", timeout=SILENCE, headers={"Nats-Required-Api-Level": level})
        except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
            return type(error).__name__
        return json.loads(message.data) if message.data else message.headers

    return dict(zip(VERBS, await asyncio.gather(*(ask(verb) for verb in VERBS)), strict=True))


@pytest.mark.parametrize("level", ["99", "x"])
async def test_a_level_that_is_not_there_is_refused_as_nats_server_refuses_it(petiole, hub, client, level):
    both = []
    for server in (petiole(jetstream=True), hub(jetstream=True)):
        nc = await client(server)
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s"], allow_direct=True)
        await js.add_consumer("S", durable_name="C", ack_policy="explicit")
        both.append(await answers(nc, level))
    assert both[0] == both[1]
