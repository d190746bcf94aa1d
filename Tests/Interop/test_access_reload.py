"""Users, permissions and accounts that change while clients are connected (SIGHUP), side by side with a real nats-server."""

import re
import signal

import pytest

from keys import Operator, account_key, user_key, user_token
from servers import until
from sidebyside import Exchange, Pair, connect_line, login

BEFORE = """
accounts {
  A { users: [ {user: a, password: a}, {user: changes, password: old}, {user: goes, password: x}, {user: hashed, password: "$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V."} ],
      exports: [ {stream: "s.>"}, {service: q} ] }
  B { users: [ {user: b, password: b}, {user: moves, password: m} ] }
}
"""
PERMISSIONS = 'permissions { publish: {deny: "no"}, subscribe: {allow: ["ok", "queued q", "s.>"]} }'
AFTER = """
accounts {
  A { users: [ {user: a, password: a, %s}, {user: changes, password: new},
               {user: hashed, password: "$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V."}, {user: moves, password: m} ],
      exports: [ {stream: "s.>"}, {service: q} ] }
  B { users: [ {user: b, password: b} ], imports: [ {stream: {account: A, subject: "s.>"}}, {service: {account: A, subject: q}} ] }
}
""" % PERMISSIONS


def reload(server, config):
    path = server.directory / "server.conf"
    path.write_text(path.read_text().replace(server.config, config))
    server.config = config
    before = len(re.findall("Reloaded", server.log()))
    server.signal(signal.SIGHUP)
    until(lambda: len(re.findall("Reloaded", server.log())) > before, 10, "the file was read again\n" + server.log())


@pytest.fixture
def pair(servers):
    return Pair(servers, BEFORE)


def test_clients_that_are_not_users_any_more_are_closed(pair):
    def act(server):
        people = {
            name: Exchange(server).say(login(name, password), "SUB x 1\r\n")
            for name, password in (("a", "a"), ("changes", "old"), ("goes", "x"), ("hashed", "secret"), ("b", "b"))
        }
        for exchange in people.values():
            exchange.heard()
        reload(server, AFTER.replace(PERMISSIONS, ""))
        for name in ("changes", "goes"):
            people[name].until_closed()
        return {name: exchange.say().heard() for name, exchange in people.items()}

    heard = pair.same(act)
    assert {name for name, text in heard.items() if "<closed>" in text} == {"changes", "goes"}


def test_a_hash_changes_under_a_client(servers):
    """Of the same password: it stays. Of another: it is told and closed."""
    hashes = [  # of "secret" twice, and of "other"
        "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2a$04$bbcdefghijklmnopqrstuucXVddwCcIMOT0d2FEScJJ4my8.mweHK",
        "$2a$04$cbcdefghijklmnopqrstuup8El2YHhpvxmg9BvZ4XWkhnJuWrUV/W",
    ]
    config = 'authorization {{ users: [ {{user: u, password: "{}"}}, {{user: p, password: p}} ] }}'

    def act(server):
        client = Exchange(server).say(login("u", "secret"), "SUB x 1\r\n")
        other = Exchange(server).say(login("p", "p"))
        heard = []
        for stored in hashes[1:] + hashes[:1]:
            reload(server, config.format(stored))
            if stored == hashes[2]:
                heard.append(client.until_closed().heard())
            else:
                other.say("PUB x 1\r\ny\r\n")
                heard.append(client.say().heard())
        return heard

    heard = Pair(servers, config.format(hashes[0])).same(act)
    assert "MSG x 1 1" in heard[0] and heard[1] == "-ERR 'Authorization Violation'\r\n<closed>"


def test_permissions_change_under_a_client(pair):
    def act(server):
        listener = Exchange(server).say(login("a", "a"), "SUB one 1\r\nSUB ok 2\r\nSUB queued q 3\r\nSUB queued other 4\r\nSUB s.a 5\r\n")
        listener.heard()
        reload(server, AFTER)
        heard = listener.until('queue "other"').until('"one"').heard()
        listener.say("PUB no 0\r\n\r\nPUB ok 1\r\nx\r\nPUB one 1\r\nx\r\n")
        return sorted(heard.split("\r\n")), listener.heard()

    pair.same(act)


def test_imports_begin_and_end(pair):
    def act(server):
        importer = Exchange(server).say(login("b", "b", headers=True, no_responders=True), "SUB s.> 1\r\nSUB inbox 2\r\n")
        exporter = Exchange(server).say(login("hashed", "secret", headers=True), "SUB q 1\r\n")
        heard = []
        for config in (None, AFTER, BEFORE):
            if config:
                reload(server, config)
            exporter.say("PUB s.a 1\r\nx\r\n")
            importer.say("PUB q inbox 1\r\n?\r\n")
            heard.append((importer.say().heard(), exporter.say().heard()))
        return heard

    heard = pair.same(act)
    assert "MSG s.a 1" in heard[1][0] and "MSG s.a" not in heard[0][0] + heard[2][0]


def test_a_user_is_revoked(servers):
    operator, account, key = Operator(), account_key(), user_key()
    operator.add(account)
    before = operator.config()
    jwt = user_token(key, account)
    operator.add(account, revocations={key.public: 2_000_000_000})
    after = operator.config()
    pair = Pair(servers, before)

    def act(server):
        exchange = Exchange(server).until("\r\n")
        nonce = exchange.raw.buffer.split(b'"nonce":"')[1].split(b'"')[0].decode()
        exchange.say(connect_line(jwt=jwt, sig=key.sign(nonce))).heard()
        reload(server, after)
        return exchange.until_closed().heard()

    assert "User Authentication Revoked" in pair.same(act)


@pytest.mark.ours
def test_what_takes_a_restart_is_named(petiole):
    server = petiole("accounts { A { users: [{user: a, password: a}] }, S {}, T {} }\nsystem_account: S")
    path = server.directory / "server.conf"
    path.write_text(path.read_text().replace("system_account: S", "system_account: T"))
    server.signal(signal.SIGHUP)
    until(lambda: "system_account: restart to change it" in server.log())
