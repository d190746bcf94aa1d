"""Operator mode: users with JWTs that accounts have signed, side by side with a real nats-server."""

import asyncio
import base64
import json
import time

import nats
import pytest

from keys import Operator, account_key, account_token, creds, operator_key, token, user_key, user_token
from sidebyside import Exchange, Pair, connect_line
from waiting import until


class World:
    """An operator with an account and one that a signing key serves."""

    def __init__(self, version=2, **operator):
        self.operator = Operator(version, **operator)
        self.account = account_key()
        self.version = version

    def user(self, issuer=None, **options):
        key = user_key()
        return key, user_token(key, issuer or self.account, self.version, **options)


def answer(server, key, jwt, lines="", sign=True, signer=None):
    """What a server says to a user who signs its nonce."""
    exchange = Exchange(server).until("\r\n")
    nonce = exchange.raw.buffer.split(b'"nonce":"')[1].split(b'"')[0].decode()
    exchange.raw.buffer = b""
    options = {"jwt": jwt} | ({"sig": (signer or key).sign(nonce)} if sign else {})
    return exchange.say(connect_line(**options, headers=True), lines).heard()


LINES = "SUB a.b 1\r\nSUB s.> 2\r\nPUB a.b 1\r\nx\r\nPUB p.q 1\r\nx\r\n"


@pytest.mark.parametrize("version", [1, 2])
def test_users_of_an_account(servers, version):
    world = World(version)
    scoped, scoped_strange, plain_key = account_key(), account_key(), account_key()
    past, future = int(time.time()) - 100, int(time.time()) + 1000
    revoked, revoked_before = user_key(), user_key()
    options = {"revocations": {revoked.public: int(time.time()) + 10, revoked_before.public: past}}
    if version == 2:
        template = {"pub": {"allow": ["a.{{name()}}", "{{tag(room)}}.>"]}, "sub": {"deny": ["s.>"]}, "subs": 1, "data": -1, "payload": -1}
        options["signing_keys"] = [plain_key.public, {"kind": "user_scope", "key": scoped.public, "role": "", "template": template, "description": ""}]
    else:
        options["signing_keys"] = [plain_key.public]
    world.operator.add(world.account, **options)
    pair = Pair(servers, world.operator.config())
    acc = world.account.public

    def case(label, issuer=None, expect=None, key=None, sign=True, signer=None, lines=LINES, **more):
        key = key or user_key()
        jwt = user_token(key, issuer or world.account, version, **more)
        real, ours = (answer(server, key, jwt, lines, sign, signer) for server in pair.both)
        assert ours == real, label
        if expect is not None:
            assert ("Authorization Violation" not in ours) == expect, label

    case("plain", expect=True)
    case("permissions", pub={"allow": ["a.>"]}, sub={"deny": ["s.x"]}, expect=True)
    case("responses", resp={"max": 2, "ttl": 1000000000}, expect=True)
    case("not signed", sign=False, expect=False)
    case("signed by another", signer=user_key(), expect=False)
    case("expired", exp=past, expect=False)
    case("not yet", nbf=future, expect=False)
    case("in time", exp=future, nbf=past, expect=True)
    case("bearer", bearer_token=True, sign=False, expect=True)
    case("unknown issuer", issuer=account_key(), expect=False)
    case("signing key", issuer=plain_key, issuer_account=acc, expect=True)
    case("signing key without account", issuer=plain_key, expect=False)
    case("signing key of nobody", issuer=scoped_strange, issuer_account=acc, expect=False)
    case("revoked", key=revoked, expect=False)
    case("issued after the revocation", key=revoked_before, expect=True)
    case("limits", subs=1, payload=3, expect=True)
    case("payload", payload=3, lines="PUB a 4\r\nxxxx\r\n")
    case("from here", src=["127.0.0.0/8"] if version == 2 else "127.0.0.0/8", expect=True)
    case("from elsewhere", src=["10.0.0.0/8"] if version == 2 else "10.0.0.0/8,192.168.0.0/16", expect=False)
    case("all day", times=[{"start": "00:00:00", "end": "23:59:59"}])
    case("never", times=[{"start": "00:00:00", "end": "00:00:00"}], expect=False)
    if version == 2:
        case("types", allowed_connection_types=["STANDARD", "FOO"], expect=True)
        case("other types", allowed_connection_types=["WEBSOCKET"], expect=False)
        case("unknown types", allowed_connection_types=["FOO"], expect=False)
        case("scoped", issuer=scoped, issuer_account=acc, limits=False, name="b", tags=["room:p", "room:r"], expect=True)
        case("scoped without tags", issuer=scoped, issuer_account=acc, limits=False, name="b", expect=True)
        case("scoped with permissions of its own", issuer=scoped, issuer_account=acc, name="b", expect=False)
    for garbage in ("", "x", "a.b.c", token("user", user_key(), operator_key(), {})):
        pair.say(connect_line(jwt=garbage))
    pair.say(connect_line())
    pair.say("PING\r\n")


def test_accounts_that_are_not_trusted(servers):
    world = World()
    stranger = operator_key()
    trusted, foreign, expired, unlimited_bearer = (account_key() for _ in range(4))
    world.operator.add(trusted)
    world.operator.accounts[foreign.public] = account_token(foreign, stranger)
    world.operator.accounts[expired.public] = token(
        "account", expired, world.operator.key, {"limits": {"subs": -1, "conn": -1, "leaf": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True}},
        exp=int(time.time()) - 10)
    world.operator.add(unlimited_bearer, limits={"disallow_bearer": True})
    pair = Pair(servers, world.operator.config())
    for account, fine in ((trusted, True), (foreign, False), (expired, False)):
        key = user_key()
        jwt = user_token(key, account)
        assert ("Authorization Violation" not in pair.same(lambda server: answer(server, key, jwt))) == fine
    key = user_key()
    for jwt in (user_token(key, unlimited_bearer, bearer_token=True), user_token(key, unlimited_bearer)):
        pair.same(lambda server: answer(server, key, jwt))


def test_account_limits_and_isolation(servers):
    world = World()
    one, other = account_key(), account_key()
    world.operator.add(one, limits={"conn": 1, "subs": 1, "payload": 4})
    world.operator.add(other)
    pair = Pair(servers, world.operator.config())
    (a, a_jwt), (b, b_jwt) = ((key, user_token(key, account)) for key, account in ((user_key(), one), (user_key(), other)))

    def act(server):
        exchange = Exchange(server).until("\r\n")
        nonce = exchange.raw.buffer.split(b'"nonce":"')[1].split(b'"')[0].decode()
        exchange.say(connect_line(jwt=a_jwt, sig=a.sign(nonce)), "SUB x 1\r\nSUB y 2\r\n")
        second = answer(server, a, a_jwt)
        stranger = answer(server, b, b_jwt, "PUB x 1\r\nx\r\n")
        return exchange.say("PUB x 5\r\n01234\r\n").heard(), second, stranger

    mine, second, stranger = pair.same(act)
    assert "maximum account active connections exceeded" in second and "MSG" not in mine.split("PONG")[1]


def test_a_connection_ends_with_its_token(servers):
    world = World()
    world.operator.add(world.account)
    pair = Pair(servers, world.operator.config())
    key = user_key()

    def act(server):
        jwt = user_token(key, world.account, exp=int(time.time()) + 2)
        exchange = Exchange(server).until("\r\n")
        nonce = exchange.raw.buffer.split(b'"nonce":"')[1].split(b'"')[0].decode()
        exchange.raw.buffer = b""
        return exchange.say(connect_line(jwt=jwt, sig=key.sign(nonce))).until_closed(8).heard()

    assert "User Authentication Expired" in pair.same(act)


async def test_creds_files_streams_and_sharing(petiole, tmp_path):
    world = World()
    exporter, importer = account_key(), account_key()
    activation = token("activation", importer, exporter, {"subject": "secret.>", "kind": "stream"})
    world.operator.add(
        exporter,
        limits={"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1},
        exports=[{"name": "r", "subject": "req", "type": "service"}, {"name": "s", "subject": "secret.>", "type": "stream", "token_req": True}],
    )
    world.operator.add(
        importer,
        imports=[
            {"name": "r", "subject": "req", "account": exporter.public, "type": "service", "local_subject": "ask"},
            {"name": "s", "subject": "secret.>", "account": exporter.public, "type": "stream", "token": activation},
        ],
    )
    server = petiole(world.operator.config(), jetstream=True)

    async def login(account):
        key = user_key()
        path = tmp_path / f"{key.public}.creds"
        path.write_text(creds(user_token(key, account), key))
        return await nats.connect(server.url, user_credentials=str(path))

    one, other, sys = await login(exporter), await login(importer), await login(world.operator.system)

    async def respond(message):
        await message.respond(b"answer to " + message.data)

    await one.subscribe("req", cb=respond)
    heard = await other.subscribe("secret.>")
    await other.flush()
    assert (await other.request("ask", b"me")).data == b"answer to me"
    await one.publish("secret.a", b"x")
    assert (await heard.next_msg(5)).data == b"x"
    js = one.jetstream()
    await js.add_stream(name="S", subjects=["s"])
    assert (await js.publish("s", b"1")).seq == 1
    with pytest.raises(Exception) as missing:
        await other.jetstream().account_info()
    assert missing.value.err_code == 10039
    info = json.loads((await one.request("$SYS.REQ.USER.INFO", b"")).data)["data"]
    assert info["account"] == exporter.public
    assert json.loads((await sys.request("$SYS.REQ.SERVER.PING.IDZ", b"")).data)["name"] == "edge"
    for nc in (one, other, sys):
        await nc.close()
