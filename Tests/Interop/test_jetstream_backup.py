"""Backups of streams: ours restored into nats-server, nats-server's into ours, with consumers."""

import pytest

from backups import ask, backup, contents, fill, restore


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
