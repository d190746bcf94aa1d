"""Nothing passes between accounts: every pair of them, by every way, across leaf links too. Three accounts here are linked to three
accounts there; who is linked hears of each other, and nobody else does."""

import asyncio
import json

import nats
import pytest

from servers import NATS_SERVER, PETIOLE
from test_leaf_authentication import remotes, url
from waiting import leafs, until, until_linked

GROUPS = {"a": {"a", "x"}, "b": {"b", "y"}, "c": {"c", "z"}, "s": {"s"}, "t": {"t"}}
GROUP = {name: group for group in GROUPS.values() for name in group}
HUB = """
accounts {
  A { jetstream: enabled, users: [ {user: a, password: a} ] }
  B { jetstream: enabled, users: [ {user: b, password: b} ] }
  C { jetstream: enabled, users: [ {user: c, password: c} ] }
  SYS { users: [ {user: s, password: s} ] }
}
system_account: SYS
"""
EDGE = """
accounts {
  X { users: [ {user: x, password: x} ] }
  Y { users: [ {user: y, password: y} ] }
  Z { users: [ {user: z, password: z} ] }
  SYS { users: [ {user: t, password: t} ] }
}
system_account: SYS
"""


async def settled(subscriptions, wanted):
    """Waits until every subscription has so many messages, and for those that must not come."""
    await until(lambda: all(len(subscriptions[name].heard) >= count for name, count in wanted.items()), what=str({name: sub.heard for name, sub in subscriptions.items()}))
    await asyncio.sleep(0.2)


def clients(connections):
    # A real server shows leaf links there, too.
    return [entry["cid"] for entry in connections if entry["kind"] == "Client"]


class Ear:
    """What a participant hears on a subject, in a queue group or not."""

    async def listen(self, nc, subject, queue="", answer=None):
        self.heard = []

        async def heard(message):
            self.heard.append(message.data.decode())
            if answer and message.reply:
                await message.respond(answer.encode())

        self.subscription = await nc.subscribe(subject, queue=queue, cb=heard)
        return self


@pytest.mark.parametrize("binaries", [(PETIOLE, NATS_SERVER), (NATS_SERVER, PETIOLE), (PETIOLE, PETIOLE)], ids=["hub", "edge", "both"])
async def test_every_pair_of_accounts(servers, client, binaries):
    hub = servers(binaries[0], "hub", config=HUB, leaf=True, jetstream="domain: hub").start()
    links = [url(hub, f"{user}:{user}") + f", account: {account}" for user, account in zip("abc", "XYZ")]
    edge = servers(binaries[1], "edge", config=EDGE + remotes(*links)).start()
    await until_linked(hub, 3)
    people = {name: await client(hub if name in "abcs" else edge, user=name, password=name) for name in GROUP}
    everything = {name: await Ear().listen(nc, "m.>") for name, nc in people.items()}
    wildcards = {name: await Ear().listen(nc, "*.>") for name, nc in people.items()}
    groups = {name: await Ear().listen(nc, "q.*", queue="g") for name, nc in people.items()}
    services = {name: await Ear().listen(people[name], "svc", answer=name) for name in ("a", "b", "c")}
    for nc in people.values():
        await nc.flush()
    await until(lambda: [sorted({"m.>", "q.*"} & {entry.split()[0] for entry in leaf["subscriptions_list"]}) for leaf in leafs(hub) + leafs(edge)] == [["m.>", "q.*"]] * 6)

    # Messages, with and without a reply subject, and with headers.
    for name, nc in people.items():
        await nc.publish("m.a", name.encode())
        await nc.publish("m.b.c", name.encode(), reply="m.reply")
        await nc.publish("m.h", name.encode(), headers={"H": name})
    await settled(everything, {name: 3 * len(group) for name, group in GROUP.items()})
    for name, ear in everything.items():
        assert sorted(ear.heard) == sorted(sorted(GROUP[name]) * 3), name
        assert {data for data in wildcards[name].heard if len(data) == 1} == GROUP[name], name
        await wildcards[name].subscription.unsubscribe()

    # Queue groups of one name: each message to one member, of the sender's accounts.
    for name, nc in people.items():
        for _ in range(20):
            await nc.publish("q.x", name.encode())
    await until(lambda: sum(len(ear.heard) for ear in groups.values()) >= 20 * len(people))
    await asyncio.sleep(0.2)
    for group in GROUPS.values():
        assert sorted(data for name in group for data in groups[name].heard) == sorted(sorted(group) * 20)

    # Requests, to a service that every group has, and to inboxes of the others.
    for name, nc in people.items():
        if name in "st":
            with pytest.raises(nats.errors.NoRespondersError):
                await nc.request("svc", b"", timeout=5)
        else:
            assert {(await nc.request("svc", b"", timeout=5)).data.decode()} == GROUP[name] & set("abc")
    assert all(len(services[name].heard) == 2 for name in services)

    # Streams and buckets of one name.
    for name in "abc":
        js = people[name].jetstream()
        await js.add_stream(name="S", subjects=["s.>"])
        await js.publish("s.x", name.encode())
        bucket = await js.create_key_value(bucket="K")
        await bucket.put("key", name.encode())
    for name in "abcxyz":
        js = people[name].jetstream(domain="hub")
        owner = (GROUP[name] & set("abc")).pop()
        assert sorted([info.config.name for info in await js.streams_info()]) == ["KV_K", "S"]
        assert (await js.stream_info("S")).state.messages == 1
        assert (await js.get_msg("S", 1)).data.decode() == owner
        consumer = await js.pull_subscribe("s.>", durable="D" + name, stream="S")
        assert [message.data.decode() for message in await consumer.fetch(1, timeout=5)] == [owner]
        assert {info.name for info in await js.consumers_info("S")} <= {"D" + each for each in GROUP[name]}
    for name in "abc":
        bucket = await people[name].jetstream().key_value("K")
        assert (await bucket.get("key")).value.decode() == name
    for name in "st":
        answer = json.loads((await people[name].request("$JS.API.STREAM.NAMES", b"", timeout=5)).data) if name == "s" else None
        assert answer is None or "error" in answer

    # What the server says of itself: everything to the system account, to others only about themselves.
    for name in "abc":
        nc, own = people[name], name.upper()
        others = [other for other in ("A", "B", "C", "SYS") if other != own]
        for subject in ["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.VARZ"] + [f"$SYS.REQ.ACCOUNT.{other}.{what}" for other in others for what in ("CONNZ", "SUBSZ", "JSZ", "INFO", "LEAFZ")]:
            with pytest.raises(nats.errors.NoRespondersError):
                await nc.request(subject, b"", timeout=5)
        for options in (b"", json.dumps({"acc": others[0], "account": others[0], "auth": True}).encode()):
            answer = json.loads((await nc.request("$SYS.REQ.ACCOUNT.PING.CONNZ", options, timeout=5)).data)
            # A real server at the other end of the link may answer as well: about the account that is linked.
            who = name if answer["server"]["name"] == "hub" else (GROUP[name] - {name}).pop()
            assert clients(answer["data"]["connections"]) == [people[who].client_id]
        for options in (b"", json.dumps({"accounts": others}).encode()):
            stats = json.loads((await nc.request("$SYS.REQ.ACCOUNT.PING.STATZ", options, timeout=5)).data)["data"]
            assert {entry["acc"].lower() for entry in stats["account_statz"]} <= GROUP[name]
    await people["s"].request("$SYS.REQ.ACCOUNT.A.CONNZ", b"", timeout=5)

    # Monitoring by account.
    for name in "abc":
        own = name.upper()
        assert clients(hub.json(f"/connz?acc={own}")["connections"]) == [people[name].client_id]
        assert [leaf["account"] for leaf in hub.json(f"/leafz?acc={own}")["leafs"]] == [own]
        (detail,) = hub.json(f"/jsz?acc={own}&streams=1&accounts=1")["account_details"]
        assert detail["id"] == own and sorted(stream["name"] for stream in detail["stream_detail"]) == ["KV_K", "S"]
        assert sum(stream["state"]["messages"] for stream in detail["stream_detail"]) == 2
