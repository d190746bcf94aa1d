"""Accounts: spaces of their own, and what they give to each other, side by side with a real nats-server."""

import asyncio
import json

import nats
import pytest

from sidebyside import Exchange, Pair, login
from waiting import until

CONFIG = """
accounts {
  A {
    users: [ {user: a, password: a} ]
    exports: [
      {stream: "str.>"}
      {stream: "private.>", accounts: [B]}
      {service: "svc.*"}
      {service: "many", response_type: stream}
      {service: "chunks", response_type: chunked}
      {service: "shared"}
      {service: "only.*", account_token_position: 2}
      {service: "quick", response_threshold: "200ms"}
    ]
  }
  B {
    users: [ {user: b, password: b} ]
    imports: [
      {stream: {account: A, subject: "str.>"}, prefix: fromA}
      {stream: {account: A, subject: "private.>"}}
      {stream: {account: A, subject: "str.*.x"}, to: "swapped.$1"}
      {service: {account: A, subject: "svc.*"}, to: "my.*.svc"}
      {service: {account: A, subject: "many"}}
      {service: {account: A, subject: "chunks"}}
      {service: {account: A, subject: "shared"}, share: true}
      {service: {account: A, subject: "only.B"}}
      {service: {account: A, subject: "quick"}}
    ]
  }
  C { users: [ {user: c, password: c} ], limits { max_connections: 1, max_subscriptions: 2, max_payload: 10 } }
  SYS { users: [ {user: sys, password: sys} ] }
}
system_account: SYS
"""


@pytest.fixture
def pair(servers):
    return Pair(servers, CONFIG)


def person(server, name, *lines, **options):
    return Exchange(server).say(login(name, name, headers=True, no_responders=True, **options), *lines)


def test_accounts_do_not_hear_each_other(pair):
    def act(server):
        people = {name: person(server, name, "SUB > 1\r\nSUB x queue 2\r\n") for name in ("a", "b", "c", "sys")}
        heard = {}
        for name, sender in people.items():
            sender.say(f"PUB x 1\r\n{name[0]}\r\nPUB x _INBOX.r 1\r\n{name[0]}\r\n")
        for name, listener in people.items():
            heard[name] = sorted(part for part in listener.say().heard().split("MSG x ") if part.startswith(("1 ", "2 ")))
        return heard

    heard = pair.same(act)
    for name in ("a", "b"):
        assert all(f"\r\n{name[0]}\r\n" in part for part in heard[name])


def test_messages_are_imported_with_a_prefix_as_they_are_and_mapped(pair):
    def act(server):
        listener = person(server, "b", "SUB fromA.str.* 1\r\nSUB private.> 2\r\nSUB swapped.* 3\r\nSUB str.> 4\r\nSUB fromA.> queue 5\r\n")
        sender = person(server, "a", "PUB str.1 2\r\nhi\r\nPUB str.1.x 1\r\nx\r\nPUB private.a reply.to 1\r\ny\r\nPUB other 1\r\nz\r\n")
        sender.say("HPUB str.2 12 13\r\nNATS/1.0\r\n\r\nh\r\n")
        return sorted(listener.say().heard().split("MSG "))

    assert len(pair.same(act)) > 4


def test_wide_subscriptions_get_imported_messages_once(pair):
    def act(server):
        listener = person(server, "b", "SUB > 1\r\n")
        person(server, "a", "PUB private.one 1\r\nx\r\n")
        listener.say("UNSUB 1\r\n")
        person(server, "a", "PUB private.two 1\r\nx\r\n")
        return listener.say().heard()

    assert pair.same(act).count("private.one") == 1


def test_unsubscribe_after_some_counts_imported_messages(pair):
    # A real server delivers all five: it counts per account and looks at the subscriber's own count.
    listener = person(pair.ours, "b", "SUB private.> 1\r\nUNSUB 1 2\r\n")
    person(pair.ours, "a", "PUB private.1 1\r\nx\r\n" * 5)
    assert listener.say().heard().count("private.1") == 2


def test_requests_are_answered_across_accounts(pair):
    def act(server):
        responder = person(server, "a", "SUB svc.* 1\r\n")
        asker = person(server, "b", "SUB inbox 1\r\n")
        asker.say("PUB my.7.svc inbox 1\r\nq\r\n")
        responder.until("svc.7")
        request = responder.raw.buffer.decode()
        reply = request.split("svc.7 1 ")[1].split(" ")[0]
        assert reply.startswith("_R_.")
        # One answer and no more; nobody else's either.
        responder.say(f"PUB {reply} 2\r\nok\r\n", f"PUB {reply} 2\r\nno\r\n")
        return responder.heard().replace(reply, "_R_"), asker.until("ok").say().heard()

    requested, answered = pair.same(act)
    assert '{"acc":"B","rtt":0}' in requested and answered.count("MSG inbox") == 1


@pytest.mark.parametrize("service", ["many", "chunks"])
def test_an_empty_answer_ends_several(pair, service):
    def act(server):
        responder = person(server, "a", f"SUB {service} 1\r\n")
        asker = person(server, "b", "SUB inbox 1\r\n")
        asker.say(f"PUB {service} inbox 0\r\n\r\n")
        responder.until(f"{service} 1 ")
        reply = responder.raw.buffer.decode().split(f"{service} 1 ")[1].split(" ")[0]
        responder.say(f"PUB {reply} 1\r\n1\r\n", f"PUB {reply} 0\r\n\r\n", f"PUB {reply} 1\r\n3\r\n")
        return asker.say().heard()

    assert pair.same(act).count("MSG inbox") == 2


def test_a_shared_service_learns_who_asks(pair):
    def act(server):
        responder = person(server, "a", "SUB shared 1\r\n")
        asker = Exchange(server).say(login("b", "b", headers=True, name="me", lang="raw", version="1"), "SUB inbox 1\r\n")
        asker.say("PUB shared inbox 0\r\n\r\n")
        info = json.loads(responder.until("Nats-Request-Info").until("}").raw.buffer.decode().split("Nats-Request-Info: ")[1].split("\r\n")[0])
        info = {key: type(value).__name__ if key in ("start", "id", "rtt", "server") else value for key, value in info.items()}
        return info

    assert pair.same(act)["user"] == "b"


def test_nobody_there_is_told_to_the_asker(pair):
    def act(server):
        asker = person(server, "b", "SUB inbox 1\r\n")
        asker.say("PUB my.7.svc inbox 1\r\nq\r\n", "PUB nothing inbox 1\r\nq\r\n", "PUB only.B inbox 0\r\n\r\n")
        # The service exists, but is not for this account; and the exporter's own subject is not the importer's.
        asker.say("PUB svc.7 inbox 1\r\nq\r\n")
        return asker.heard()

    assert pair.same(act).count("503") == 4


def test_limits_of_an_account(pair):
    def act(server):
        one = person(server, "c", "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nPUB a 10\r\n0123456789\r\n", protocol=1)
        other = person(server, "c")
        one.say("PUB a 11\r\n01234567890\r\n")
        return one.heard(), other.heard()

    first, second = pair.same(act)
    assert "maximum subscriptions exceeded" in first and "Maximum Payload Violation" in first and '"max_payload": 10' in first
    assert "maximum account active connections exceeded" in second


@pytest.mark.parametrize(
    "config, problem",
    [
        ("accounts { A {}, B { imports: [ {service: {account: A, subject: x}} ] } }", "import"),
        ("accounts { A {exports: [{stream: x, accounts: [C]}]}, B { imports: [ {stream: {account: A, subject: x}} ] }, C {} }", "import"),
        ("accounts { A { imports: [ {stream: {account: B, subject: x}} ], exports: [{stream: x}] }, B { imports: [ {stream: {account: A, subject: x}} ], exports: [{stream: x}] } }", "cycle"),
        ("accounts { A { imports: [ {service: {account: N, subject: x}} ] } }", "N"),
        ("accounts { A { users: [{user: a, password: a}] }, B { users: [{user: a, password: b}] } }", "Duplicate user"),
        ('accounts { "$G": { users: [] } }', "Reserved"),
        ("accounts { A { users: [{password: x}] } }", "requires a user"),
        ("accounts { A { users: [{nkey: UABC}] } }", "nkey"),
        ("authorization { user: a, token: b }", "token"),
        ("authorization { users: [{user: a}], token: b }", "token"),
        ("no_auth_user: x\nauthorization { users: [{user: a}] }", "no_auth_user"),
        ('authorization { users: [{user: a, permissions: {publish: "a..b"}}] }', "subject"),
        ('authorization { users: [{user: a, permissions: {publish: "a q"}}] }', "subject"),
        ("authorization { users: [{user: a, allowed_connection_types: [FOO]}] }", "FOO"),
        ("accounts { S { jetstream: enabled } }\nsystem_account: S\njetstream: enabled", "system"),
        ("accounts { A { exports: [{service: a.b, account_token_position: 1}] } }", "Error adding service export"),
    ],
)
def test_configurations_that_make_no_sense_are_refused_by_both(servers, config, problem):
    from servers import NATS_SERVER, PETIOLE

    for binary, name in ((NATS_SERVER, "real"), (PETIOLE, "ours")):
        server = servers(binary, name, config=config).spawn()
        assert server.wait() == 1, name
        assert problem in server.log(), server.log()


async def test_the_system_account_answers_about_the_server(petiole, client):
    server = petiole(CONFIG, jetstream=True)
    sys = await nats.connect(server.url, user="sys", password="sys")
    other = await nats.connect(server.url, user="a", password="a")
    for name in ("VARZ", "CONNZ", "SUBSZ", "LEAFZ", "JSZ", "HEALTHZ", "ACCOUNTZ"):
        answer = json.loads((await sys.request(f"$SYS.REQ.SERVER.PING.{name}", b"")).data)
        assert answer["server"]["name"] == "edge" and answer["data"], name
        by_id = json.loads((await sys.request(f"$SYS.REQ.SERVER.{answer['server']['id']}.{name}", b"")).data)
        assert by_id["data"].keys() == answer["data"].keys()
    assert json.loads((await sys.request("$SYS.REQ.SERVER.PING", b"")).data)["statsz"]["connections"] == 2
    connections = json.loads((await sys.request("$SYS.REQ.ACCOUNT.A.CONNZ", b"")).data)["data"]
    assert connections["num_connections"] == 1
    # Everybody may ask about themselves, and about nobody else.
    assert json.loads((await other.request("$SYS.REQ.USER.INFO", b"")).data)["data"] == {"user": "a", "account": "A", "account_name": "A"}
    assert json.loads((await other.request("$SYS.REQ.SERVER.PING.CONNZ", b"")).data)["data"]["num_connections"] == 1
    stats = json.loads((await other.request("$SYS.REQ.ACCOUNT.PING.STATZ", b"")).data)["data"]["account_statz"]
    assert [entry["acc"] for entry in stats] == ["A"]
    for subject in ("$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.ACCOUNT.B.CONNZ"):
        with pytest.raises(nats.errors.NoRespondersError):
            await other.request(subject, b"")
    await sys.close()
    await other.close()
