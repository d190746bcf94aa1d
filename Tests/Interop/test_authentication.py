"""Who is let in: the same files and the same bytes for a real nats-server and for petiole."""

import asyncio
import time

import nats
import pytest

from keys import user_key
from sidebyside import Exchange, Pair, connect_line, login
from test_tls import SecureClient, context

# bcrypt of "secret", cost 4 and 11, by another implementation than either server's.
HASH = "$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V."
SLOW_HASH = "$2a$11$FXO7vZyEUWvbStDpWXdmz.79oJzHIpfjQxFIHdRsLSfSXFecWdqj2"
HASH_Y = "$2y$04$Fhk7niZZqcoZqdA/hkxE9uSkZWSM45eumPVjuHZZzeDNsfEKMTDsq"

USERS = """
authorization {
  timeout: 1
  users: [
    { user: plain, password: secret }
    { user: hashed, password: "%s" }
    { user: hashed_y, password: "%s" }
    { user: empty }
    { user: leafs, password: secret, allowed_connection_types: [LEAFNODE, "websocket"] }
    { user: standard, password: secret, allowed_connection_types: [standard] }
  ]
}
""" % (HASH, HASH_Y)

ANONYMOUS = 'authorization { users: [ {user: a, password: a}, {user: b, password: b, permissions: {publish: "b.>"}} ] }\nno_auth_user: b\n'
LOGINS = {
    "no CONNECT": "PING\r\n",
    "nothing said": connect_line(),
    "right": login("plain", "secret"),
    "wrong password": login("plain", "Secret"),
    "no password": login("plain"),
    "longer password": login("plain", "secretsecret"),
    "unknown user": login("nobody", "secret"),
    "hash right": login("hashed", "secret"),
    "hash wrong": login("hashed", "secreT"),
    "hash itself as password": login("hashed", "$2b$04$abc"),
    "hash with NUL": login("hashed", "secret\0x"),
    "hash 2y": login("hashed_y", "secret"),
    "empty password": login("empty", ""),
    "empty password, another given": login("empty", "x"),
    "type not allowed": login("leafs", "secret"),
    "type allowed": login("standard", "secret"),
    "user in another case": login("PLAIN", "secret"),
    "token instead": connect_line(auth_token="secret"),
    "account asked for": login("plain", "secret", account="A"),
    "wrong types": 'CONNECT {"user":1,"pass":"x"}\r\n',
    "second CONNECT": login("plain", "secret") + login("hashed", "secret"),
    "second CONNECT wrong": login("plain", "secret") + login("plain", "x"),
    "protocol 1": login("plain", "secret", protocol=1),
    "protocol 2": login("plain", "secret", protocol=2),
    "lower case verb": login("plain", "secret").replace("CONNECT", "connect"),
    "garbage": "\x16\x03\x01\x00\r\n",
    "no verb": "CONN\r\n",
    "publish first": "PUB a 1\r\nx\r\n",
    "verbose": 'CONNECT {"user":"plain","pass":"secret"}\r\nSUB a 1\r\n',
}


@pytest.fixture
def users(servers):
    return Pair(servers, USERS)


def test_every_way_to_log_in_is_answered_as_by_the_real_server(users):
    for name, lines in LOGINS.items():
        real, ours = (Exchange(server).say(lines).heard() for server in users.both)
        assert ours == real, name


def test_whoever_says_nothing_is_cut_off_in_time(users):
    def act(server):
        begin = time.monotonic()
        heard = Exchange(server).until_closed().heard()
        assert 0.9 < time.monotonic() - begin < 4
        return heard

    assert "Authentication Timeout" in users.same(act)


@pytest.mark.parametrize("config", ['authorization { token: "tok" }', 'authorization { user: u, password: p }', 'authorization { token: "%s" }' % HASH])
def test_a_single_token_or_user(servers, config):
    pair = Pair(servers, config)
    for lines in (connect_line(auth_token="tok"), connect_line(auth_token="secret"), connect_line(auth_token="Tok"), login("u", "p"), login("u", "q"), login("tok"), connect_line(), login("x", "y", auth_token="tok")):
        pair.say(lines)


def test_no_auth_user(servers):
    pair = Pair(servers, ANONYMOUS)
    for lines in ("PING\r\n", "SUB b.1 1\r\nPUB b.1 1\r\nx\r\nPUB a 1\r\nx\r\n", connect_line() + "PUB a 1\r\nx\r\n", login("a", "a") + "PUB a 1\r\nx\r\n", login("a", "x"), login("b", "x"), connect_line(auth_token="x"), connect_line(**{"pass": "x"}), "+OK\r\n"):
        pair.say(lines)


def test_keys(servers):
    key, other = user_key(), user_key()
    pair = Pair(servers, f"authorization {{ users: [ {{nkey: {key.public}, permissions: {{subscribe: a}}}}, {{user: u, password: p}} ] }}")

    def act(signer, name, **more):
        def with_nonce(server):
            exchange = Exchange(server).until("\r\n")
            nonce = exchange.raw.buffer.split(b'"nonce":"')[1].split(b'"')[0].decode()
            assert len(nonce) == 15
            signature = signer.sign(nonce)
            return exchange.say(connect_line(nkey=name, sig=more.get("sig", signature)), "SUB a 1\r\nSUB b 2\r\n").heard()

        return pair.same(with_nonce)

    assert "Violation for Subscription" in act(key, key.public)
    assert "Authorization Violation" in act(other, key.public)
    assert "Authorization Violation" in act(other, other.public)
    assert "Authorization Violation" in act(key, key.public, sig="")
    assert "Authorization Violation" in act(key, key.public, sig="!!")
    assert "Authorization Violation" in act(key, "u")
    pair.say(login("u", "p"))


async def test_clients_log_in_with_seed_and_password(petiole, tmp_path):
    key = user_key()
    server = petiole(f'authorization {{ users: [ {{nkey: {key.public}}}, {{user: hashed, password: "{SLOW_HASH}"}} ] }}')
    seed = tmp_path / "seed.nk"
    seed.write_text(key.seed)
    one = await nats.connect(server.url, nkeys_seed=str(seed))
    # Several hashes at once take a while, and nobody else waits for them.
    begin = time.monotonic()
    logins = [asyncio.create_task(nats.connect(server.url, user="hashed", password="secret", connect_timeout=20)) for _ in range(4)]
    while not all(login.done() for login in logins):
        asked = time.monotonic()
        await one.flush()
        assert time.monotonic() - asked < 0.5, "the loop waits for a hash"
        await asyncio.sleep(0.01)
    assert time.monotonic() - begin > 0.05
    for client in [one, *[login.result() for login in logins]]:
        await client.close()
    with pytest.raises(nats.errors.Error):
        await nats.connect(server.url, user="hashed", password="wrong", allow_reconnect=False, connect_timeout=20)


@pytest.mark.ours
def test_a_log_shows_names_but_no_secrets_and_no_line_ends(petiole):
    server = petiole("authorization { user: u, password: topsecret }")
    Exchange(server).say(login("evil\nname", "guess-me")).heard()
    log = server.log()
    assert 'authentication error - User "evil\\nname"' in log
    assert "guess-me" not in log and "topsecret" not in log


@pytest.mark.parametrize("user, password, fine", [("gateway.example", "", True), ("CN=client,O=Example", "x", True), ("client", "", False)])
def test_a_certificate_says_who_a_client_is(servers, certificates, user, password, fine):
    config = f"""
    tls {{ {certificates.files("server", "ca")} verify_and_map: true }}
    authorization {{ users: [ {{user: "{user}", password: "{password}", permissions {{publish: ok}}}}, {{user: other, password: o}} ] }}
    """

    def act(server):
        answers = []
        # The name in CONNECT counts for nothing, the password does where the user has one.
        for name, given in (("", password), ("other", password), ("other", "o")):
            client = SecureClient(server.port, context(certificates, certificate="client"))
            client.send((login(name, given) if name else connect_line(**{"pass": given})) + "PUB ok 0\r\n\r\nPUB no 0\r\n\r\nPING\r\n")
            deadline = time.monotonic() + 5
            while b"PONG" not in client.buffer and client.fill(deadline):
                pass
            answers.append(client.buffer)
        return answers

    answers = Pair(servers, config).same(act)
    assert all((b"PONG" in answer and b"Permissions Violation" in answer) == fine for answer in answers[:2])
    assert b"Authorization Violation" in answers[2]


@pytest.mark.parametrize("user, fine", [("gateway.example", True), ("somebody-else", False)])
def test_who_begins_without_connect_is_who_the_certificate_says(servers, certificates, user, fine):
    config = f"""
    tls {{ {certificates.files("server", "ca")} verify_and_map: true }}
    authorization {{ users: [ {{user: "{user}", password: "", permissions {{publish: ok}}}}, {{user: guest, password: g}} ] }}
    no_auth_user: guest
    """

    def act(server):
        client = SecureClient(server.port, context(certificates, certificate="client"))
        client.send("PUB no 0\r\n\r\nPUB ok 0\r\n\r\nPING\r\n")
        deadline = time.monotonic() + 5
        while b"PONG" not in client.buffer and client.fill(deadline):
            pass
        return client.buffer

    answer = Pair(servers, config).same(act)
    assert (b"PONG" in answer and b"Permissions Violation" in answer) == fine and (b"Authorization Violation" in answer) != fine


def test_a_key_says_nothing_without_connect(servers):
    key = user_key()
    config = f"authorization {{ users: [ {{nkey: {key.public}}}, {{user: a, password: b}} ] }}\nno_auth_user: {key.public}"

    def act(server):
        return [Exchange(server).until("\r\n").say(*lines).heard() for lines in ((connect_line(), "PUB x 0\r\n\r\n"), ("PUB x 0\r\n\r\n",))]

    heard = Pair(servers, config).same(act)
    assert "PONG" in heard[0] and "PONG" not in heard[1]
