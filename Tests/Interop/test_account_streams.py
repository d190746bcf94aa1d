"""JetStream of several accounts in one store."""

import asyncio
import json
import random

import nats
import pytest
from nats.js.errors import APIError

from backups import backup
from sidebyside import Exchange, Pair
from sidebyside import login as login_line
from test_access_reload import reload
from waiting import until

CONFIG = """
accounts {
  A { users: [ {user: a, password: a} ], jetstream: enabled }
  B { users: [ {user: b, password: b} ], jetstream: enabled }
  L { users: [ {user: l, password: l} ], jetstream { max_mem: 1MB, max_store: 2MB, max_streams: 1, max_consumers: 1, max_bytes_required: true,
      store_max_stream_bytes: 1MB, max_ack_pending: 10 } }
  F { users: [ {user: f, password: f} ], jetstream { max_mem: 4KB, max_store: 4KB } }
  N { users: [ {user: n, password: n} ] }
  SYS { users: [ {user: sys, password: sys} ] }
}
system_account: SYS
"""


async def login(server, name):
    return await nats.connect(server.url, user=name, password=name)


async def api(nc, subject, body=b"", timeout=1):
    body = json.dumps(body).encode() if not isinstance(body, bytes) else body
    return json.loads((await nc.request(f"$JS.API.{subject}", body, timeout=timeout)).data)


async def test_streams_of_the_same_name_are_apart_and_come_back_apart(agent):
    server = agent(CONFIG, jetstream=True).start()
    for restarted in (False, True):
        people = {name: await login(server, name) for name in ("a", "b")}
        for name, nc in people.items():
            js = nc.jetstream()
            if not restarted:
                await js.add_stream(name="S", subjects=["s.>"])
                await js.add_stream(name=f"ONLY_{name}", subjects=[f"only.{name}"])
                for number in range(3):
                    await js.publish("s.x", f"{name}{number}".encode())
                await js.pull_subscribe("s.>", durable="D", stream="S")
            info = await js.stream_info("S")
            assert info.state.messages == 3
            assert sorted((await api(nc, "STREAM.NAMES"))["streams"]) == [f"ONLY_{name}", "S"]
            sub = await js.pull_subscribe("s.>", durable="D", stream="S")
            expected = [f"{name}{number}".encode() for number in range(3)]
            if restarted:
                assert [msg.data for msg in await sub.fetch(3, timeout=5)] == expected
            account = await api(nc, "INFO")
            assert account["streams"] == 2 and account["consumers"] == 1 and account["limits"]["max_streams"] == -1
            await nc.close()
        details = server.json("/jsz?accounts=1&streams=1")
        assert details["accounts"] == 4 and details["streams"] == 4 and details["messages"] == 6
        shown = {account["name"]: [stream["name"] for stream in account.get("stream_detail", [])] for account in details["account_details"]}
        assert shown["A"] == ["ONLY_a", "S"] and shown["B"] == ["ONLY_b", "S"]
        if not restarted:
            server.kill()
            server.start()


async def test_a_store_from_before_accounts_is_the_global_accounts(agent):
    server = agent("", jetstream=True).start()
    nc = await nats.connect(server.url)
    await nc.jetstream().add_stream(name="OLD", subjects=["old"])
    await nc.jetstream().publish("old", b"1")
    await nc.close()
    server.stop()
    # An account besides: then the global one has none any more, and what it had stays where it is.
    server.config = CONFIG
    server.start()
    nc = await login(server, "a")
    assert (await api(nc, "STREAM.NAMES"))["streams"] is None
    await nc.close()
    server.stop()
    server.config = ""
    server.start()
    nc = await nats.connect(server.url)
    assert (await nc.jetstream().stream_info("OLD")).state.messages == 1
    await nc.close()


REQUESTS = [
    ("l", "INFO", b""),
    ("l", "STREAM.CREATE.S", {"name": "S"}),
    ("l", "STREAM.CREATE.S", {"name": "S", "storage": "memory", "max_bytes": 2_000_000}),
    ("l", "STREAM.CREATE.S", {"name": "S", "storage": "file", "max_bytes": 3_000_000}),
    ("l", "STREAM.CREATE.S", {"name": "S", "max_bytes": 1_500_000}),
    ("l", "STREAM.CREATE.S", {"name": "S", "max_bytes": 500_000, "max_consumers": 3}),
    ("l", "STREAM.CREATE.S", {"name": "S", "subjects": ["s.*"], "max_bytes": 500_000}),
    ("l", "STREAM.CREATE.S2", {"name": "S2", "max_bytes": 500_000}),
    ("l", "STREAM.UPDATE.S", {"name": "S", "subjects": ["s.*"], "max_bytes": 3_000_000}),
    ("l", "STREAM.UPDATE.S", {"name": "S", "subjects": ["s.*"], "max_bytes": 900_000}),
    ("l", "CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit", "max_ack_pending": 100}}),
    ("l", "CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit"}}),
    ("l", "CONSUMER.CREATE.S.C2", {"stream_name": "S", "config": {"durable_name": "C2", "ack_policy": "explicit"}}),
    ("l", "INFO", b""),
    ("n", "INFO", b""),
    ("n", "STREAM.CREATE.S", {"name": "S"}),
    ("n", "STREAM.NAMES", b""),
    ("n", "STREAM.LIST", b""),
    ("n", "STREAM.INFO.S", b""),
    ("n", "STREAM.PURGE.S", b""),
    ("n", "STREAM.MSG.GET.S", {"seq": 1}),
    ("n", "CONSUMER.CREATE.S", {"stream_name": "S", "config": {}}),
    ("n", "CONSUMER.NAMES.S", b""),
    ("n", "CONSUMER.LIST.S", b""),
    ("n", "CONSUMER.INFO.S.C", b""),
    ("n", "CONSUMER.DELETE.S.C", b""),
    ("n", "CONSUMER.MSG.NEXT.S.C", b""),
    ("n", "DIRECT.GET.S", b""),
    ("n", "CONSUMER.CREATE.S.C.a.b", {"stream_name": "S", "config": {"name": "C", "filter_subject": "a.b"}}),
    ("n", "CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C"}}),
    ("n", "CONSUMER.PAUSE.S.C", b""),
    ("n", "CONSUMER.UNPIN.S.C", {"group": "g"}),
    ("n", "CONSUMER.RESET.S.C", b""),
    ("n", "STREAM.UPDATE.S", {"name": "S"}),
    ("n", "STREAM.DELETE.S", b""),
    ("n", "STREAM.SNAPSHOT.S", {"deliver_subject": "x"}),
    ("n", "STREAM.RESTORE.S", {"config": {"name": "S"}}),
    ("n", "STREAM.MSG.DELETE.S", {"seq": 1}),
    ("n", "STREAM.LEADER.STEPDOWN.S", b""),
    ("n", "CONSUMER.LEADER.STEPDOWN.S.C", b""),
    ("n", "STREAM.PEER.REMOVE.S", {"peer": "x"}),
    ("n", "META.LEADER.STEPDOWN", b""),
    ("n", "NOTHING", b""),
    ("sys", "INFO", b""),
    ("sys", "STREAM.NAMES", b""),
    ("f", "STREAM.CREATE.S", {"name": "S", "subjects": ["f.>"]}),
    ("f", "STREAM.CREATE.M", {"name": "M", "subjects": ["m.>"], "storage": "memory"}),
]
VARIES = {"created", "ts", "metadata", "api", "cluster"}


def shape(value):
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in VARIES}
    return [shape(inner) for inner in value] if isinstance(value, list) else value


async def test_limits_and_their_errors_are_those_of_the_real_server(servers):
    pair = Pair(servers, CONFIG, jetstream=True)

    async def asked(server):
        people = {name: await login(server, name) for name in ("l", "n", "f", "sys")}
        mine = []
        for name, subject, body in REQUESTS:
            try:
                mine.append((name, subject, shape(await api(people[name], subject, body))))
            except nats.errors.NoRespondersError:
                mine.append((name, subject, "nobody"))
            except nats.errors.TimeoutError:
                mine.append((name, subject, "silence"))
        # What the account may hold is used up.
        for subject in ("f.a", "m.a"):
            outcome = []
            for _ in range(8):
                message = await people["f"].request(subject, b"x" * 700, timeout=5)
                outcome.append(json.loads(message.data).get("error", {}).get("err_code", 0))
            mine.append((subject, outcome))
        for nc in people.values():
            await nc.close()
        return mine

    for real, ours in zip(*await asyncio.gather(*(asked(server) for server in pair.both)), strict=True):
        assert ours == real, f"ours: {ours}\nreal: {real}"


async def outcome(nc, subject, body=b""):
    """What a request is answered, or how it is not."""
    try:
        return shape(json.loads((await nc.request(subject, body, timeout=0.5)).data))
    except nats.errors.NoRespondersError:
        return "nobody"
    except nats.errors.TimeoutError:
        return "silence"


async def shows(nc, request, member):
    """Waits for an answer with such a member: nats-server says that it has read the file before its accounts are ready."""

    async def shown():
        return member in await outcome(nc, f"$JS.API.{request}")

    await until(shown, what=f"{member} in the answer to {request}")


async def test_jetstream_is_taken_from_an_account_and_given_back(servers):
    """By reloads: the rest of the file counts as well, and nothing that is stored is lost."""
    without = CONFIG.replace("B { users: [ {user: b, password: b} ], jetstream: enabled }", "B { users: [ {user: b, password: b} ] }")
    without = without.replace("{user: n, password: n}", "{user: n, password: other}")
    pair = Pair(servers, CONFIG, jetstream=True)
    outcomes = []
    for server in pair.both:
        nc, other = await login(server, "b"), await login(server, "a")
        for js in (nc.jetstream(), other.jetstream()):
            await js.add_stream(name="S", subjects=["s.>"])
            for number in range(3):
                await js.publish("s.x", str(number).encode())
        sub = await nc.jetstream().pull_subscribe("s.>", durable="D", stream="S")
        await (await sub.fetch(1, timeout=5))[0].ack_sync()
        leaving = Exchange(server).say(login_line("n", "n"))
        reload(server, without)
        leaving.until_closed()
        await shows(nc, "INFO", "error")
        mine = [await outcome(nc, f"$JS.API.{subject}") for subject in ("INFO", "STREAM.INFO.S", "STREAM.NAMES", "CONSUMER.MSG.NEXT.S.D")]
        mine.append(await outcome(nc, "s.x", b"nobody's"))
        mine.append((await other.jetstream().stream_info("S")).state.messages)
        reload(server, CONFIG)
        await shows(nc, "STREAM.INFO.S", "config")
        info = await nc.jetstream().stream_info("S")
        mine.append((info.state.messages, info.state.first_seq, info.state.last_seq, info.state.consumer_count))
        mine.append((await nc.jetstream().publish("s.x", b"3")).seq)
        mine.append([(message.data, message.metadata.num_delivered) for message in await sub.fetch(3, timeout=5)])
        outcomes.append(mine)
        await nc.close()
        await other.close()
    assert outcomes[1] == outcomes[0]
    assert outcomes[1][4] == "nobody" and outcomes[1][6] == (3, 1, 3, 1)
    assert outcomes[1][8] == [(b"1", 1), (b"2", 1), (b"3", 1)]


async def test_a_stream_is_restored_while_a_reload_gives_another_account_jetstream(agent):
    """What has come of the stream is nobody's yet, and is not taken for what a crash has left."""
    without = CONFIG.replace("B { users: [ {user: b, password: b} ], jetstream: enabled }", "B { users: [ {user: b, password: b} ] }")
    server = agent(without, jetstream=True).start()
    nc = await login(server, "a")
    js = nc.jetstream()
    await js.add_stream(name="S", subjects=["s.>"])
    for number in range(40):
        await js.publish("s.x", random.Random(number).randbytes(8000))
    config, state, data, _ = await backup(nc, "S")
    await js.delete_stream("S")
    target = (await api(nc, "STREAM.RESTORE.S", {"config": config, "state": state}))["deliver_subject"]
    half = len(data) // 2
    assert not (await nc.request(target, data[:half], timeout=5)).data
    reload(server, CONFIG)
    assert "drops log" not in server.log()
    for piece in (data[half:], b""):
        answer = await nc.request(target, piece, timeout=5)
    assert json.loads(answer.data)["state"]["messages"] == 40
    assert (await js.get_msg("S", 1)).data == random.Random(0).randbytes(8000)
    await nc.close()


async def test_the_system_account_purges_another(servers):
    pair = Pair(servers, CONFIG, jetstream=True)
    outcomes = []
    for server in pair.both:
        people = {name: await login(server, name) for name in ("a", "b", "sys")}
        for name in ("a", "b"):
            await people[name].jetstream().add_stream(name="S", subjects=["s.>"])
            await people[name].jetstream().publish("s.x", b"1")
        mine = [await outcome(people["b"], "$JS.API.ACCOUNT.PURGE.A"), await outcome(people["a"], "$JS.API.STREAM.NAMES")]
        mine += [await outcome(people["sys"], f"$JS.API.ACCOUNT.PURGE.{name}") for name in ("A", "NOBODY", "a/b")]
        mine += [await outcome(people[name], "$JS.API.STREAM.NAMES") for name in ("a", "b")]
        outcomes.append(mine)
        for nc in people.values():
            await nc.close()
    assert outcomes[1] == outcomes[0]
    assert outcomes[1][1]["total"] == 1 and outcomes[1][5]["total"] == 0 and outcomes[1][6]["total"] == 1


async def test_an_account_that_has_no_jetstream_any_more_is_purged_as_well(agent):
    server = agent(CONFIG, jetstream=True).start()
    people = {name: await login(server, name) for name in ("a", "b", "sys")}
    for name in ("a", "b"):
        await people[name].jetstream().add_stream(name="S", subjects=["s.>"])
        await people[name].jetstream().publish("s.x", b"1")
        await people[name].jetstream().pull_subscribe("s.>", durable="D", stream="S")
    reload(server, CONFIG.replace("B { users: [ {user: b, password: b} ], jetstream: enabled }", "B { users: [ {user: b, password: b} ] }"))
    assert (await outcome(people["sys"], "$JS.API.ACCOUNT.PURGE.B"))["initiated"]
    reload(server, CONFIG)
    assert (await api(people["b"], "STREAM.NAMES"))["total"] == 0
    assert (await people["a"].jetstream().stream_info("S")).state.messages == 1
    for nc in people.values():
        await nc.close()
    server.kill()
    server.start()
    nc = await login(server, "b")
    assert (await api(nc, "STREAM.NAMES"))["total"] == 0
    await nc.close()
