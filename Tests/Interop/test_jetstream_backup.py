"""Backups of streams: ours restored into nats-server, nats-server's into ours, with consumers."""

import json
import random

import pytest


async def ask(nc, subject, body=None, timeout=10):
    reply = await nc.request(subject, json.dumps(body).encode() if body is not None else b"", timeout=timeout)
    return json.loads(reply.data)


async def backup(nc, stream, **options):
    """The config, the state and the bytes of a stream's backup."""
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    answer = await ask(nc, f"$JS.API.STREAM.SNAPSHOT.{stream}", {"deliver_subject": inbox, **options})
    assert "error" not in answer, answer
    data = b""
    chunks = 0
    while True:
        msg = await sub.next_msg(timeout=10)
        if not msg.data:
            break
        data += msg.data
        if msg.reply:
            chunks += 1
            await nc.publish(msg.reply, b"")
    await sub.unsubscribe()
    status = (msg.headers or {}).get("Status")
    assert status in (None, "204"), msg.headers
    return answer["config"], answer["state"], data, chunks


async def restore(nc, config, state, data, size=60_000):
    answer = await ask(nc, f"$JS.API.STREAM.RESTORE.{config['name']}", {"config": config, "state": state})
    if "error" in answer:
        return answer
    target = answer["deliver_subject"]
    for at in range(0, len(data), size):
        reply = await nc.request(target, data[at : at + size], timeout=10)
        if reply.data:
            return json.loads(reply.data)
    return json.loads((await nc.request(target, b"", timeout=10)).data)


async def fill(nc, storage="file"):
    """A stream with gaps, headers, large and empty messages, and consumers that are in the middle of their work."""
    config = {"name": "S", "subjects": ["s.>"], "storage": storage, "max_msgs_per_subject": 500, "metadata": {"site": "north"}}
    assert "error" not in await ask(nc, "$JS.API.STREAM.CREATE.S", config)
    js = nc.jetstream()
    for number in range(300):
        headers = {"Number": str(number)} if number % 3 == 0 else None
        await js.publish(f"s.{number % 7}", random.Random(number).randbytes(number * 37 % 5000), headers=headers)
    for sequence in (1, 2, 10, 11, 12, 150, 300):
        await ask(nc, "$JS.API.STREAM.MSG.DELETE.S", {"seq": sequence})
    for name, consumer in {
        "D": {"durable_name": "D", "ack_policy": "explicit", "max_ack_pending": 100, "ack_wait": 3_600_000_000_000},
        "F": {"durable_name": "F", "ack_policy": "all", "filter_subject": "s.3"},
        "P": {"durable_name": "P", "ack_policy": "none", "deliver_subject": "nobody.listens"},
    }.items():
        answer = await ask(nc, f"$JS.API.CONSUMER.DURABLE.CREATE.S.{name}", {"stream_name": "S", "config": consumer})
        assert "error" not in answer, answer
    sub = await js.pull_subscribe_bind("D", stream="S")
    messages = await sub.fetch(20, timeout=5)
    for message in messages[:5] + messages[8:10]:
        await message.ack_sync()
    other = await js.pull_subscribe_bind("F", stream="S")
    messages = await other.fetch(4, timeout=5)
    await messages[3].ack_sync()
    return config


async def contents(nc):
    info = await ask(nc, "$JS.API.STREAM.INFO.S", {"deleted_details": True})
    messages = {}
    for sequence in range(1, info["state"]["last_seq"] + 1):
        answer = await ask(nc, "$JS.API.STREAM.MSG.GET.S", {"seq": sequence})
        if "message" in answer:
            messages[sequence] = answer["message"]
    consumers = (await ask(nc, "$JS.API.CONSUMER.LIST.S", {}))["consumers"]
    places = {}
    for consumer in sorted(consumers, key=lambda one: one["name"]):
        places[consumer["name"]] = {
            key: consumer[key] for key in ("delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_pending")
        } | {"config": {k: v for k, v in consumer["config"].items() if k != "metadata"}}
        for pair in ("delivered", "ack_floor"):
            places[consumer["name"]][pair] = {k: v for k, v in consumer[pair].items() if k != "last_active"}
    # The last message is removed: nothing in a backup says when it came.
    state = {k: v for k, v in info["state"].items() if k != "last_ts"}
    return state, messages, places


@pytest.mark.parametrize("storage", ["file", "memory"])
@pytest.mark.parametrize("way", ["ours to nats-server", "nats-server to ours", "ours to ours"])
async def test_a_backup_restores_elsewhere(petiole, hub, client, way, storage):
    first, second = way.split(" to ")
    make = {"ours": lambda name: petiole(jetstream=True, name=name), "nats-server": lambda name: hub(jetstream=True, name=name)}
    source = await client(make[first]("source"))
    target = await client(make[second]("target"))
    await fill(source, storage)
    before = await contents(source)
    config, state, data, chunks = await backup(source, "S", chunk_size=1024 * 64, window_size=1024 * 128)
    assert chunks > 1
    answer = await restore(target, config, state, data)
    assert "error" not in answer, answer
    assert answer["type"] == "io.nats.jetstream.api.v1.stream_create_response"
    assert answer["config"]["metadata"]["site"] == "north"
    after = await contents(target)
    assert after[0] == before[0]
    assert after[1] == before[1]
    assert after[2] == before[2]
    # The restored stream goes on.
    assert (await target.jetstream().publish("s.1", b"next")).seq == 301
    again = await restore(target, config, state, data)
    assert again["error"]["err_code"] == 10130


async def test_a_restored_stream_survives_a_kill(petiole, client):
    server = petiole(jetstream=True)
    nc = await client(server)
    await fill(nc)
    config, state, data, _ = await backup(nc, "S")
    before = await contents(nc)
    await ask(nc, "$JS.API.STREAM.DELETE.S")
    assert "error" not in await restore(nc, config, state, data)
    server.kill()
    server.start()
    nc = await client(server)
    after = await contents(nc)
    assert after[0] == before[0] and after[1] == before[1]
    # A restore that did not end leaves nothing.
    config["name"] = "T"
    config["subjects"] = ["t.>"]
    answer = await ask(nc, "$JS.API.STREAM.RESTORE.T", {"config": config, "state": state})
    await nc.request(answer["deliver_subject"], data[:50_000], timeout=10)
    server.kill()
    server.start()
    nc = await client(server)
    assert (await ask(nc, "$JS.API.STREAM.INFO.T"))["error"]["err_code"] == 10059


async def test_a_broken_backup_is_refused(petiole, client):
    nc = await client(petiole(jetstream=True))
    await fill(nc)
    config, state, data, _ = await backup(nc, "S")
    await ask(nc, "$JS.API.STREAM.DELETE.S")
    for broken in (data[:-200], b"x" * 500, data[:2000] + b"\0" * 50 + data[2050:], b""):
        answer = await restore(nc, config, state, broken)
        assert answer["error"]["err_code"] == 10062, answer
    assert "error" in await ask(nc, "$JS.API.STREAM.INFO.S")
    assert "error" not in await restore(nc, config, state, data)


async def test_a_backup_goes_on_only_as_acks_come(petiole, client):
    nc = await client(petiole(jetstream=True))
    await fill(nc)
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await ask(nc, "$JS.API.STREAM.SNAPSHOT.S", {"deliver_subject": inbox, "chunk_size": 1024, "window_size": 4096})
    chunks = [await sub.next_msg(timeout=5) for _ in range(4)]
    assert all(len(chunk.data) == 1024 and chunk.reply for chunk in chunks)
    with pytest.raises(Exception):
        await sub.next_msg(timeout=0.3)
    await nc.publish(chunks[0].reply, b"")
    assert len((await sub.next_msg(timeout=5)).data) == 1024
    end = await sub.next_msg(timeout=10)
    assert end.headers["Status"] == "408"


async def test_snapshot_requests_are_checked(petiole, client):
    nc = await client(petiole(jetstream=True))
    assert (await ask(nc, "$JS.API.STREAM.SNAPSHOT.S", {"deliver_subject": "x"}))["error"]["err_code"] == 10059
    await ask(nc, "$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
    assert (await ask(nc, "$JS.API.STREAM.SNAPSHOT.S"))["error"]["err_code"] == 10003
    assert (await ask(nc, "$JS.API.STREAM.SNAPSHOT.S", {"deliver_subject": "x.*"}))["error"]["err_code"] == 10015
    answer = await ask(nc, "$JS.API.STREAM.RESTORE.S")
    assert answer["error"]["err_code"] == 10003 and answer["deliver_subject"] == ""
    answer = await ask(nc, "$JS.API.STREAM.RESTORE.S", {"config": {"name": "T"}})
    assert answer["error"]["err_code"] == 10056
    assert (await ask(nc, "$JS.API.STREAM.RESTORE.S", {"config": {"name": "S"}}))["error"]["err_code"] == 10130
