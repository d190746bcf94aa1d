"""KV and Object Store as nats.py uses them, on the agent and, where both can be asked, on a real server beside it."""

import base64
import io
import json
import os

import pytest
from nats.js.api import KeyValueConfig, ObjectMeta, ObjectMetaOptions, RePublish
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError, ObjectNotFoundError

pytestmark = pytest.mark.smoke


@pytest.fixture(params=["petiole", "nats-server"])
async def js(request, petiole, hub, client):
    server = petiole(jetstream=True) if request.param == "petiole" else hub(jetstream=True, leaf=False)
    return (await client(server)).jetstream()


async def entries(watcher, count):
    """The next `count` things that a watcher says; None is the end of what was there."""
    return [await watcher.updates(timeout=5) for _ in range(count)]


def told(entry):
    return None if entry is None else (entry.key, entry.value, entry.operation)


async def test_put_get_update_create_delete_purge(js):
    kv = await js.create_key_value(bucket="B", history=5)
    assert [await kv.put("a.b", b"1"), await kv.put("a.b", b"2"), await kv.put("c", b"3")] == [1, 2, 3]
    assert (await kv.get("a.b")).value == b"2" and (await kv.get("a.b", revision=1)).value == b"1"
    assert await kv.update("a.b", b"4", last=2) == 4
    with pytest.raises(KeyWrongLastSequenceError):
        await kv.update("a.b", b"5", last=2)
    with pytest.raises(KeyWrongLastSequenceError):
        await kv.create("c", b"6")
    await kv.delete("c")
    with pytest.raises(KeyNotFoundError) as gone:
        await kv.get("c")
    assert gone.value.op == "DEL" and gone.value.entry.revision == 5
    assert await kv.create("c", b"7") == 6
    assert [entry.revision for entry in await kv.history("a.b")] == [1, 2, 4]
    await kv.purge("a.b")
    with pytest.raises(KeyNotFoundError):
        await kv.get("a.b")
    assert [(entry.revision, entry.operation) for entry in await kv.history("a.b")] == [(7, "PURGE")]
    assert sorted(await kv.keys()) == ["c"]
    status = await kv.status()
    assert (status.bucket, status.values, status.history) == ("B", 4, 5)
    with pytest.raises(KeyNotFoundError):
        await kv.get("never")


async def test_history_keeps_the_newest_of_every_key(js):
    kv = await js.create_key_value(bucket="B", history=3)
    for number in range(20):
        for key in "abc":
            await kv.put(key, b"%d" % number)
    assert [entry.value for entry in await kv.history("b")] == [b"17", b"18", b"19"]
    assert (await kv.status()).values == 9


async def test_purging_deletes_and_wildcards(js):
    kv = await js.create_key_value(bucket="B", history=4)
    for number in range(8):
        await kv.put(f"k.{number}", b"x")
        await kv.put(f"k.{number}", b"y")
    for number in range(4):
        await kv.delete(f"k.{number}")
    await kv.purge_deletes(olderthan=-1)
    assert (await kv.status()).values == 8
    await kv.purge("k.*")
    assert (await kv.status()).values == 1


async def test_watching(js):
    kv = await js.create_key_value(bucket="B", history=5)
    await kv.put("a", b"1")
    await kv.put("a", b"2")
    await kv.put("b.c", b"3")
    everything = await kv.watchall()
    assert [told(entry) for entry in await entries(everything, 3)] == [("a", b"2", None), ("b.c", b"3", None), None]
    some = await kv.watch("b.>", include_history=True)
    assert [told(entry) for entry in await entries(some, 2)] == [("b.c", b"3", None), None]
    heads = await kv.watch("a", meta_only=True)
    assert [told(entry) for entry in await entries(heads, 2)] == [("a", b"", None), None]
    await kv.put("b.d", b"4")
    await kv.delete("b.c")
    assert [told(entry) for entry in await entries(some, 2)] == [("b.d", b"4", None), ("b.c", b"", "DEL")]
    assert [told(entry) for entry in await entries(everything, 2)] == [("b.d", b"4", None), ("b.c", b"", "DEL")]
    for watcher in (everything, some, heads):
        await watcher.stop()
    kept = await kv.watchall(ignore_deletes=True)
    assert [told(entry) for entry in await entries(kept, 3)] == [("a", b"2", None), ("b.d", b"4", None), None]


async def test_direct_gets_and_republished_changes(js):
    seen = await js._nc.subscribe("changes.>")
    config = KeyValueConfig(bucket="B", direct=True, republish=RePublish(src=">", dest="changes.>"))
    kv = await js.create_key_value(config)
    await kv.put("a", b"1")
    await kv.put("a", b"2")
    assert (await kv.get("a")).value == b"2"
    changes = [await seen.next_msg(timeout=5) for _ in range(2)]
    assert [(change.subject, change.data) for change in changes] == [("changes.$KV.B.a", b"1"), ("changes.$KV.B.a", b"2")]
    assert [change.headers["Nats-Sequence"] for change in changes] == ["1", "2"]
    assert [change.headers["Nats-Last-Sequence"] for change in changes] == ["0", "1"]
    assert changes[0].headers["Nats-Stream"] == "KV_B" and changes[0].headers["Nats-Subject"] == "$KV.B.a"


async def test_buckets_come_and_go(js):
    await js.create_key_value(bucket="B")
    assert (await (await js.key_value("B")).status()).values == 0
    assert await js.delete_key_value("B")
    with pytest.raises(NotFoundError):
        await js.key_value("B")


async def test_objects(js):
    store = await js.create_object_store("O")
    big = os.urandom(700_000)
    await store.put("big", big, meta=ObjectMeta(description="much", headers={"x": "1"}))
    await store.put("small", b"tiny", meta=ObjectMeta(options=ObjectMetaOptions(max_chunk_size=3)))
    got = await store.get("big")
    assert got.data == big and got.info.size == len(big) and got.info.chunks == 6 and got.info.description == "much"
    out = io.BytesIO()
    await store.get("small", writeinto=out)
    assert (await store.get_info("small")).chunks == 2
    # The same name again takes the place of the old content.
    before = (await js.stream_info("OBJ_O")).state.messages
    await store.put("big", b"now small")
    assert (await store.get("big")).data == b"now small"
    assert (await js.stream_info("OBJ_O")).state.messages == before - 5
    assert sorted(info.name for info in await store.list()) == ["big", "small"]
    await store.update_meta("small", ObjectMeta(name="small", description="little"))
    assert (await store.get("small")).info.description == "little"
    await store.delete("big")
    with pytest.raises(ObjectNotFoundError):
        await store.get("big")
    assert (await store.get_info("big", show_deleted=True)).deleted
    status = await store.status()
    assert status.bucket == "O" and not status.sealed
    await store.seal()
    assert (await store.status()).sealed
    assert await js.delete_object_store("O")


async def test_watching_objects(js):
    store = await js.create_object_store("O")
    await store.put("a", b"1")
    watcher = await store.watch()
    first, end = [await watcher.updates(timeout=5) for _ in range(2)]
    assert first.name == "a" and end is None
    await store.put("b", b"2")
    await store.delete("a")
    changed = [await watcher.updates(timeout=5) for _ in range(2)]
    assert [(info.name, bool(info.deleted)) for info in changed] == [("b", False), ("a", True)]
    await watcher.stop()


async def test_links_are_kept_as_they_are_put(js):
    """A link is a meta message that names another object; nats.py reads it, nats.go and natscli write it."""
    store = await js.create_object_store("O")
    await store.put("a", b"1")
    meta = {"name": "l", "options": {"link": {"bucket": "O", "name": "a"}}, "bucket": "O", "nuid": "x", "size": 0, "chunks": 0}
    name = base64.urlsafe_b64encode(b"l").decode()
    await js.publish(f"$O.O.M.{name}", json.dumps(meta).encode(), headers={"Nats-Rollup": "sub"})
    info = await store.get_info("l")
    assert (info.options.link.bucket, info.options.link.name) == ("O", "a")
    assert sorted(info.name for info in await store.list()) == ["a", "l"]
