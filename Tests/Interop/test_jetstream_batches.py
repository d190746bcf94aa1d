"""Message TTLs, delete markers, atomic and fast batches, counters: the same answers as nats-server gives."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from waiting import until

SECOND = 1_000_000_000


@pytest.fixture
async def nc(petiole, client):
    return await client(petiole(jetstream=True))


async def create(nc, **config):
    reply = await nc.request(f"$JS.API.STREAM.CREATE.{config['name']}", json.dumps(config).encode(), timeout=5)
    answer = json.loads(reply.data)
    assert "error" not in answer, answer
    return answer


async def ask(nc, subject, payload=b"", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await nc.request(subject, payload, timeout=5, headers=headers or None)
    return json.loads(reply.data) if reply.data else None


async def code(nc, subject, payload=b"", **headers):
    return (await ask(nc, subject, payload, **headers)).get("error", {}).get("err_code")


async def state(nc, name):
    return (await ask(nc, f"$JS.API.STREAM.INFO.{name}"))["state"]


async def test_ttls_expire_and_last_messages_leave_markers(nc):
    await create(nc, name="S", subjects=["s.>"], subject_delete_marker_ttl=SECOND, max_msgs_per_subject=1, allow_direct=True)
    assert (await ask(nc, "s.a", b"x", Nats_TTL="1"))["seq"] == 1
    assert (await ask(nc, "s.b", b"x", Nats_TTL="never"))["seq"] == 2

    async def marker():
        reply = await nc.request("$JS.API.DIRECT.GET.S.s.a", b"", timeout=5)
        return reply.headers if reply.headers.get("Nats-Marker-Reason") else None

    headers = await until(marker, seconds=10)
    assert headers["Nats-Marker-Reason"] == "MaxAge"
    assert headers["Nats-TTL"] == "1s"
    assert headers["Nats-Rollup"] == "sub"

    async def gone():
        return (await state(nc, "S"))["messages"] == 1

    await until(gone, seconds=10)
    assert (await state(nc, "S"))["last_seq"] == 3


async def test_key_value_markers(nc):
    js = nc.jetstream()
    kv = await js.create_key_value(bucket="B", ttl=1, history=1)
    await kv.put("k", b"1")

    async def empty():
        return (await state(nc, "KV_B"))["messages"] == 0

    await until(empty, seconds=10)


@pytest.mark.parametrize("ttl", ["0", "0s", "-1", "+5", "soon", "500ms"])
async def test_a_bad_ttl_is_refused(nc, ttl):
    await create(nc, name="S", subjects=["s.>"], allow_msg_ttl=True)
    await create(nc, name="N", subjects=["n.>"])
    assert await code(nc, "s.a", Nats_TTL=ttl) == 10165
    assert await code(nc, "n.a", Nats_TTL=ttl) == 10165
    assert await code(nc, "n.a", Nats_TTL="5") == 10166


async def batched(nc, subject, batch, sequence, commit=None, payload=b"x", **more):
    if commit:
        more["Nats_Batch_Commit"] = commit
    return await ask(nc, subject, payload, Nats_Batch_Id=batch, Nats_Batch_Sequence=str(sequence), **more)


async def test_an_atomic_batch_is_all_or_nothing(nc):
    await create(nc, name="S", subjects=["s.>"], allow_atomic=True)
    for sequence in (1, 2):
        assert await batched(nc, "s.a", "B", sequence) is None
    assert (await state(nc, "S"))["messages"] == 0
    assert await batched(nc, "s.b", "B", 3, "1") == {"stream": "S", "seq": 3, "batch": "B", "count": 3}
    await batched(nc, "s.a", "C", 1, Nats_Msg_Id="id")
    assert (await batched(nc, "s.b", "C", 2, "1", Nats_Msg_Id="id"))["error"]["err_code"] == 10201
    await batched(nc, "s.a", "C", 1)
    assert (await batched(nc, "s.a", "C", 2, "1", Nats_Expected_Last_Subject_Sequence="2"))["error"]["err_code"] == 10164
    await batched(nc, "s.a", "C", 1, Nats_Expected_Last_Sequence="3")
    assert (await batched(nc, "s.z", "C", 2, "eob")) == {"stream": "S", "seq": 4, "batch": "C", "count": 1}
    assert (await batched(nc, "s.a", "D", 4))["error"]["err_code"] == 10176
    assert (await state(nc, "S"))["messages"] == 4


async def test_an_atomic_batch_survives_a_kill_as_a_whole(petiole, client):
    server = petiole(jetstream=True)
    nc = await client(server)
    await create(nc, name="S", subjects=["s.>"], allow_atomic=True)
    for number in range(20):
        for sequence in range(1, 11):
            last = sequence == 10
            await batched(nc, "s.a", f"B{number}", sequence, "1" if last else None)
    for sequence in range(1, 11):
        await nc.publish("s.a", b"x", headers={"Nats-Batch-Id": "L", "Nats-Batch-Sequence": str(sequence)} | ({"Nats-Batch-Commit": "1"} if sequence == 10 else {}))
    await nc.flush()
    server.kill()
    server.start()
    nc = await client(server)
    assert (await state(nc, "S"))["messages"] in (200, 210)


async def test_a_fast_batch(nc):
    await create(nc, name="S", subjects=["s.>"], allow_batched=True)
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox + ".>")

    async def send(sequence, operation, gap="ok", batch="F"):
        await nc.publish("s.a", b"x", reply=f"{inbox}.{batch}.4.{gap}.{sequence}.{operation}.$FI")

    async def answer():
        return json.loads((await sub.next_msg(timeout=5)).data)

    await send(1, 0)
    assert await answer() == {"type": "ack", "seq": 0, "msgs": 4}
    for sequence in (2, 3, 4):
        await send(sequence, 1)
    assert await answer() == {"type": "ack", "seq": 4, "msgs": 4}
    await send(6, 1)
    assert await answer() == {"type": "gap", "last_seq": 5, "seq": 6}
    await send(6, 4)
    assert await answer() == {"type": "ack", "seq": 4, "msgs": 4}
    await send(7, 3)
    assert await answer() == {"stream": "S", "seq": 5, "batch": "F", "count": 6}
    await send(1, 0, "fail", "G")
    assert (await answer())["type"] == "ack"
    await send(3, 1, "fail", "G")
    assert await answer() == {"type": "gap", "last_seq": 2, "seq": 3}
    assert await answer() == {"stream": "S", "seq": 6, "batch": "G", "count": 1}
    await send(4, 1, "fail", "G")
    assert (await answer())["error"]["err_code"] == 10208


async def test_a_counter(nc):
    await create(nc, name="S", subjects=["s.>"], allow_msg_counter=True, allow_direct=True)
    assert await ask(nc, "s.a", Nats_Incr="1") == {"stream": "S", "seq": 1, "val": "1"}
    assert (await ask(nc, "s.a", Nats_Incr="+41"))["val"] == "42"
    assert (await ask(nc, "s.a", Nats_Incr="-100000000000000000000000000000"))["val"] == "-99999999999999999999999999958"
    assert await ask(nc, "$JS.API.DIRECT.GET.S.s.a") == {"val": "-99999999999999999999999999958"}
    assert await code(nc, "s.a", b"x") == 10169
    assert await code(nc, "s.a", b"x", Nats_Incr="1") == 10170
    assert await code(nc, "s.a", b"", Nats_Incr="1.5") == 10171
    assert await code(nc, "s.a", b"", Nats_Incr="1", Nats_Rollup="sub") == 10171


async def test_schedules(nc):
    await create(nc, name="S", subjects=["s.>", "t.>"], allow_msg_schedules=True, allow_msg_ttl=True)
    at = (datetime.now(timezone.utc) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    once = {"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": "t.once", "Kept": "yes", "Nats-Schedule-TTL": "5m"}
    again = {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "t.again"}
    zone = {"Nats-Schedule": "0 30 14 * * mon-fri", "Nats-Schedule-Target": "t.zone", "Nats-Schedule-Time-Zone": "Europe/Amsterdam"}
    for number, headers in enumerate((once, again, zone)):
        assert "error" not in await ask(nc, f"s.{number}", b"body", **headers), headers
    for wrong, expected in (
        ({"Nats-Schedule": "zzz"}, 10189),
        ({"Nats-Schedule": "* * * * *"}, 10189),
        ({"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "x"}, 10190),
        ({"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "t.a", "Nats-Schedule-TTL": "x"}, 10191),
        ({"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "t.a", "Nats-Rollup": "all"}, 10192),
        ({"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "t.a", "Nats-Schedule-Source": "t.a"}, 10203),
        ({"Nats-Schedule": "0 0 0 * * *", "Nats-Schedule-Target": "t.a", "Nats-Schedule-Time-Zone": "Mars/X"}, 10223),
        ({"Nats-Scheduler": "s.1"}, 10212),
        ({"Nats-Scheduler": "t.none", "Nats-Schedule-Next": "later"}, 10212),
    ):
        assert await code(nc, "s.x", b"", **wrong) == expected, wrong
    js = nc.jetstream()
    sub = await js.subscribe("t.>", ordered_consumer=True)
    first = {}
    while len(first) < 2:
        msg = await sub.next_msg(timeout=10)
        first.setdefault(msg.subject, msg)
    assert first["t.once"].data == b"body"
    headers = dict(first["t.once"].headers)
    assert headers == {"Kept": "yes", "Nats-Scheduler": "s.0", "Nats-Schedule-Next": "purge", "Nats-TTL": "5m"}
    headers = dict(first["t.again"].headers)
    assert headers["Nats-Scheduler"] == "s.1" and headers["Nats-Schedule-Next"].startswith("20")
    info = await ask(nc, "$JS.API.STREAM.MSG.GET.S", json.dumps({"last_by_subj": "s.0"}).encode())
    assert info["error"]["err_code"] == 10037
    assert "error" not in await ask(nc, "t.x", b"", **{"Nats-Scheduler": "s.1", "Nats-Schedule-Next": "purge"})
    info = await ask(nc, "$JS.API.STREAM.MSG.GET.S", json.dumps({"last_by_subj": "s.1"}).encode())
    assert info["error"]["err_code"] == 10037


async def test_a_sourced_counter(nc):
    for name in ("A", "B"):
        await create(nc, name=name, subjects=[f"{name.lower()}.>"], allow_msg_counter=True)
    for increment in ("1", "2", "39"):
        await ask(nc, "a.x", Nats_Incr=increment)
    sources = [{"name": name, "subject_transforms": [{"src": f"{name.lower()}.>", "dest": "sum.>"}]} for name in ("A", "B")]
    await create(nc, name="S", subjects=["s.>"], allow_msg_counter=True, allow_direct=True, sources=sources)
    for increment in ("-10", "68"):
        await ask(nc, "b.x", Nats_Incr=increment)
    await ask(nc, "a.x", Nats_Incr="-2")

    async def sum():
        reply = await nc.request("$JS.API.DIRECT.GET.S.sum.x", b"", timeout=5)
        return reply if reply.data == b'{"val":"98"}' else None

    reply = await until(sum)
    assert json.loads(reply.headers["Nats-Counter-Sources"]) == {"A": {"a.x": "40"}, "B": {"b.x": "58"}}
