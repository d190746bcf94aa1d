"""KV and Object Store as nats.py uses them, on the agent and, where both can be asked, on a real server beside it."""

import asyncio
import base64
import io
import json
import os

import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy, KeyValueConfig, ObjectMeta, ObjectMetaOptions, RePublish
from nats.js.errors import (
    APIError,
    BadBucketError,
    BadRequestError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoKeysError,
    NotFoundError,
    ObjectDeletedError,
    ObjectNotFoundError,
)

from waiting import until

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


async def test_buckets_are_made_again_changed_and_listed(js):
    await js.create_key_value(bucket="B", history=2, description="before")
    kv = await js.create_key_value(bucket="B", history=2, description="before")
    with pytest.raises(BadRequestError) as other:
        await js.create_key_value(bucket="B", history=9)
    assert other.value.err_code == 10058
    for number in range(3):
        await kv.put("k", b"%d" % number)
    config = (await js.stream_info("KV_B")).config
    await js.update_stream(config.evolve(max_msgs_per_subject=3, description="after"))
    await kv.put("k", b"3")
    assert [entry.value for entry in await kv.history("k")] == [b"1", b"2", b"3"]
    await js.update_stream(config.evolve(max_msgs_per_subject=1, description="after"))
    assert [entry.value for entry in await kv.history("k")] == [b"3"]
    await js.add_stream(name="KV_NONE", subjects=["none"])
    with pytest.raises(BadBucketError):
        await js.key_value("NONE")
    await js.create_key_value(bucket="A")
    answer = await js._nc.request("$JS.API.STREAM.NAMES", b'{"subject": "$KV.*.>"}', timeout=5)
    assert json.loads(answer.data)["streams"] == ["KV_A", "KV_B"]
    with pytest.raises(APIError) as wrong:
        await js.add_stream(name="M", mirror_direct=True)
    assert wrong.value.err_code == 10052


async def test_changes_that_expect_a_revision(js):
    kv = await js.create_key_value(bucket="B", history=5)
    await kv.put("k", b"1")
    await kv.put("other", b"2")
    assert await kv.update("k", b"3", last=1) == 3
    for last in (1, 2, 4):
        with pytest.raises(BadRequestError):
            await kv.delete("k", last=last)
    await kv.delete("k", last=3)
    with pytest.raises(KeyNotFoundError) as mixed:
        await kv.get("k", revision=2)
    assert "expected '$KV.B.k', but got '$KV.B.other'" in str(mixed.value)
    # A purge that expects a revision is a roll-up with an expectation: nats.py has no such call, others have.
    subject, expected = "$KV.B.k", "Nats-Expected-Last-Subject-Sequence"
    with pytest.raises(BadRequestError) as late:
        await js.publish(subject, headers={"KV-Operation": "PURGE", "Nats-Rollup": "sub", expected: "3"})
    assert late.value.err_code == 10071
    await js.publish(subject, headers={"KV-Operation": "PURGE", "Nats-Rollup": "sub", expected: "4"})
    assert [(entry.revision, entry.operation) for entry in await kv.history("k")] == [(5, "PURGE")]
    await js.purge_stream("KV_B", subject=subject)
    with pytest.raises(BadRequestError):
        await kv.update("k", b"6", last=5)
    assert await kv.update("k", b"6", last=0) == 6


async def test_keys_and_watchers_with_several_filters_and_from_a_revision(js):
    kv = await js.create_key_value(bucket="B", history=9)
    with pytest.raises(NoKeysError):
        await kv.keys()
    for number, key in enumerate(("orders.1", "users.1", "orders.1", "other", "users.2", "orders.2"), 1):
        assert await kv.put(key, b"%d" % number) == number
    await kv.delete("users.2")
    assert sorted(await kv.keys(filters=["orders", "users"])) == ["orders.1", "orders.2", "users.1"]

    async def seen(**config):
        """What a consumer of these filters is given."""
        config = ConsumerConfig(ack_policy="none", headers_only=False, **config)
        subscription = await js.subscribe("$KV.B.>", stream="KV_B", ordered_consumer=True, config=config)
        found = []
        while True:
            message = await subscription.next_msg(timeout=5)
            found.append((message.subject.removeprefix("$KV.B."), message.metadata.sequence.stream))
            if message.metadata.num_pending == 0:
                await subscription.unsubscribe()
                return found

    both = ["$KV.B.orders.*", "$KV.B.users.*"]
    assert await seen(filter_subjects=both, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT) == [
        ("users.1", 2), ("orders.1", 3), ("orders.2", 6), ("users.2", 7),
    ]  # fmt: skip
    assert await seen(filter_subjects=both, deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=3) == [
        ("orders.1", 3), ("users.2", 5), ("orders.2", 6), ("users.2", 7),
    ]  # fmt: skip


async def test_keys_that_look_like_wildcards_are_keys(js):
    kv = await js.create_key_value(bucket="B", history=5)
    await kv.put("x.y", b"plain")
    for key in ("x!", "x.*", "x.>"):
        revision = await kv.put(key, b"1", validate_keys=False)
        assert (await kv.get(key, validate_keys=False)).revision == revision
        assert await kv.update(key, b"2", last=revision, validate_keys=False) == revision + 1
        assert (await kv.get(key, validate_keys=False)).value == b"2"
        assert await kv.delete(key, validate_keys=False)
    assert (await kv.get("x.y")).value == b"plain"
    assert (await kv.status()).values == 10


async def expiring(js):
    kv = await js.create_key_value(bucket="B", history=3, limit_marker_ttl=1)
    config = (await js.stream_info("KV_B")).config
    assert config.allow_msg_ttl and config.subject_delete_marker_ttl == 1
    changes = await kv.watchall()
    assert await changes.updates(timeout=5) is None
    await kv.create("short", b"value", msg_ttl=1)
    await kv.put("gone", b"value")
    await kv.purge("gone", msg_ttl=1)
    await kv.put("stays", b"value")
    assert (await kv.get("short")).value == b"value"
    told_of = [await changes.updates(timeout=5) for _ in range(5)]
    assert [(entry.key, entry.operation, entry.revision) for entry in told_of] == [
        ("short", None, 1), ("gone", None, 2), ("gone", "PURGE", 3), ("stays", None, 4), ("short", "PURGE", 5),
    ]  # fmt: skip
    marker = await js.get_last_msg("KV_B", "$KV.B.short")
    assert (marker.headers["Nats-Marker-Reason"], marker.headers["Nats-TTL"]) == ("MaxAge", "1s")

    async def all_is_over():
        return (await js.stream_info("KV_B", subjects_filter=">")).state.subjects == {"$KV.B.stays": 1}

    await until(all_is_over)
    assert await kv.create("short", b"again") == 6
    await changes.stop()


async def test_values_that_expire_and_purges_that_do(petiole, hub, client):
    """A value's own time ends with a marker that watchers see, a purge's and a marker's own time ends with nothing left."""
    both = [await client(server) for server in (petiole(jetstream=True), hub(jetstream=True, leaf=False))]
    await asyncio.gather(*(expiring(nc.jetstream()) for nc in both))


async def test_old_deletions_are_purged_and_new_ones_are_kept(js):
    kv = await js.create_key_value(bucket="B", history=5)
    for key in ("old", "new"):
        await kv.put(key, b"1")
    await kv.delete("old")
    await asyncio.sleep(0.3)  # the age by which the two are told apart
    await kv.delete("new")
    await kv.purge_deletes(olderthan=0.2)
    assert [(entry.key, entry.operation) for entry in await kv.history("new")] == [("new", "DEL")]
    with pytest.raises(NoKeysError):
        await kv.history("old")
    assert (await kv.status()).values == 1


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
    with pytest.raises(BadRequestError) as closed:
        await store.put("late", b"x")
    assert closed.value.err_code == 10109
    assert (await store.get("small")).data == b"tiny"
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
    later = await store.watch(updates_only=True)
    await store.put("c", b"3")
    assert (await later.updates(timeout=5)).name == "c"
    with pytest.raises(ObjectDeletedError):
        await store.update_meta("a", ObjectMeta(name="a", description="late"))
    await store.update_meta("b", ObjectMeta(name="b", description="changed"))
    assert (await later.updates(timeout=5)).description == "changed"
    await later.stop()


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
