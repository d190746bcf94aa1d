"""Who may be a leaf of this server, and what it may: the same files and the same bytes for a real nats-server and for petiole, and real
servers as leafs, inside TLS and out of it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from keys import Operator, account_key, creds, user_key, user_token
from rawclient import RawClient
from servers import NATS_SERVER, PETIOLE
from sidebyside import Pair
from test_access_reload import reload
from test_authentication import HASH, SLOW_HASH
from test_compatibility import binary
from test_leaf_accept import talk
from test_leaf_authentication import carries, remotes, url
from waiting import leafs, until, until_linked

KEY = user_key()
ACCOUNTS = f"""
accounts {{
  A {{
    users: [
      {{user: a, password: a}}
      {{user: hashed, password: "{HASH}"}}
      {{nkey: {KEY.public}}}
      {{user: few, password: few, permissions: {{subscribe: {{allow: ["q.* G1", "p.>"], deny: ["p.no", "p.deny.>"]}}, publish: {{allow: "ok.>", deny: "ok.no"}}}}}}
      {{user: answers, password: p, permissions: {{subscribe: ">", publish: "x", allow_responses: true}}}}
      {{user: standard, password: p, allowed_connection_types: [STANDARD]}}
      {{user: leaf, password: p, allowed_connection_types: [LEAFNODE]}}
    ]
    limits {{ max_subs: 3, max_payload: 10 }}
  }}
  B {{ users: [ {{user: b, password: b}} ] }}
  SYS {{ users: [ {{user: sys, password: sys}} ] }}
}}
system_account: SYS
"""
LOGINS = {
    "nothing": {},
    "a": {"user": "a", "pass": "a"},
    "a, wrong": {"user": "a", "pass": "b"},
    "a without": {"user": "a"},
    "hash": {"user": "hashed", "pass": "secret"},
    "hash, wrong": {"user": "hashed", "pass": "Secret"},
    "b": {"user": "b", "pass": "b"},
    "token": {"auth_token": "tok"},
    "token as servers say it": {"user": "tok", "auth_token": "tok"},
    "wrong token": {"auth_token": "bad"},
    "few": {"user": "few", "pass": "few"},
    "standard": {"user": "standard", "pass": "p"},
    "leaf": {"user": "leaf", "pass": "p"},
    "sys": {"user": "sys", "pass": "sys"},
    "password alone": {"pass": "a"},
    "key": {"key": KEY},
    "key of nobody": {"key": user_key()},
    "key with the signature of another": {"key": KEY, "signer": user_key()},
    "a number": {"user": 1},
}
CONFIGS = {
    "accounts": (ACCOUNTS, True),
    "token": ("authorization { token: tok }", True),
    "one user": ("authorization { user: a, password: a }", True),
    "nobody has to say": ("accounts { A {} }", True),
    "somebody else": ("authorization { users: [ {user: a, password: a}, {user: b, password: b} ] }\nno_auth_user: b", True),
    "somebody else, as no leaf": (
        "authorization { users: [ {user: a, password: a}, {user: b, password: b, allowed_connection_types: [STANDARD]} ] }\nno_auth_user: b", True
    ),
    "a user for leafs": (ACCOUNTS, 'authorization { user: leaf, password: "%s", account: B }' % HASH),
    "users for leafs": (ACCOUNTS, "authorization { users: [ {user: leaf, password: p, account: B}, {user: a, password: b} ] }"),
    "a key for leafs": (ACCOUNTS, "authorization { nkey: %s, account: A }" % KEY.public),
    "an account for leafs": ("accounts { A {}, B {} }", "authorization { account: B }"),
    "users for leafs alone": ("", "authorization { users: [ {user: leaf, password: p}, {user: a, password: a} ] }"),
}


def connect(key=None, signer=None, **options):
    """The CONNECT of a leaf, for the INFO that it answers."""

    def line(info):
        proof = {"nkey": key.public, "sig": (signer or key).sign(info["nonce"])} if key else {}
        members = {"version": "2.15.1", "name": "a", "cluster": "a", "headers": True, "remote_account": "$G", **proof, **options}
        return "CONNECT " + json.dumps(members) + "\r\n"

    return line


def told(server, turns):
    """What a leaf hears, but for the largest message: petiole says the account's, which is what is kept, and a real server its own."""

    def without(line):
        return line if isinstance(line, str) else [pair for pair in line if pair[0] != "max_payload"]

    answers, closed = talk(server, turns)
    return [[without(line) for line in lines] for lines in answers], closed


@pytest.mark.parametrize("name", CONFIGS)
def test_leafs_log_in_as_at_a_real_server(servers, name):
    config, leaf = CONFIGS[name]
    pair = Pair(servers, config, leaf=leaf)
    # All at once: most of the time goes into seeing that nothing more comes. Each under a name of its own, or one would replace another.
    with ThreadPoolExecutor(2 * len(LOGINS)) as pool:
        answers = {
            login: [pool.submit(told, server, [connect(**options, name=f"leaf-{number}", cluster=f"leaf-{number}")]) for server in pair.both]
            for number, (login, options) in enumerate(LOGINS.items())
        }
    for login, (real, ours) in answers.items():
        assert ours.result() == real.result(), login


TALKS = {
    "interest that is allowed": ("few", ["LS+ p.a\r\n", "PING\r\n"]),
    "interest of a group that is allowed": ("few", ["LS+ q.1 G1 1\r\n"]),
    "interest that is not": ("few", ["LS+ other\r\n"]),
    "interest that is denied": ("few", ["LS+ p.no\r\n"]),
    "wider interest": ("few", ["LS+ p.>\r\nLS+ >\r\n", "PING\r\n"]),
    "a message that is allowed": ("few", ["LMSG ok.a 1\r\nx\r\n", "PING\r\n"]),
    "a message that is not": ("few", ["LMSG p.a 1\r\nx\r\n"]),
    "a message that is denied": ("few", ["LMSG ok.no 1\r\nx\r\n"]),
    "an answer nobody asked for": ("few", ["LMSG _INBOX.a 1\r\nx\r\n"]),
    "an ack": ("few", ["LMSG $JS.ACK.S.C.1.1.1.1.1 1\r\nx\r\n", "PING\r\n"]),
    "more interest than there may be": ("a", ["LS+ a\r\nLS+ b\r\nLS+ c\r\nLS+ d\r\n", "PING\r\n"]),
    "a message as large as it may be": ("a", ["LMSG a 10\r\n0123456789\r\n", "PING\r\n"]),
    "a message larger than it may be": ("a", ["LMSG a 11\r\n01234567890\r\n"]),
}


def test_permissions_and_limits_are_kept_as_by_a_real_server(servers):
    pair = Pair(servers, ACCOUNTS, leaf=True)
    with ThreadPoolExecutor(2) as pool:
        for name, (user, turns) in TALKS.items():
            real, ours = pool.map(told, pair.both, [[connect(**{"user": user, "pass": user}), *turns]] * 2)
            assert ours == real, name


def test_requests_that_a_leaf_gets_are_no_leave_to_answer(servers):
    def act(server):
        with RawClient(server.leaf_port) as leaf, RawClient(server.port) as asker:
            leaf.send(connect(user="answers", **{"pass": "p"})(leaf.info) + "LS+ req\r\n")
            asker.connect(user="a", **{"pass": "a"})
            asker.send("SUB in.* 1\r\n")
            deadline = time.monotonic() + 10
            while b"LMSG req" not in leaf.buffer:
                asker.send("PUB req in.1 1\r\nq\r\n")
                assert leaf.fill(time.monotonic() + 0.1) or time.monotonic() < deadline
            leaf.buffer = b""
            leaf.send("LMSG in.1 1\r\nx\r\n")
            return leaf.read_until_closed(), asker.flush()

    assert b"Permissions Violation for Publish" in Pair(servers, ACCOUNTS, leaf=True).same(act)[0]


@pytest.mark.parametrize("ends", ["user", "account"])
def test_a_link_ends_with_its_token(servers, ends):
    operator, account, key = Operator(), account_key(), user_key()
    end = int(time.time()) + 3
    operator.add(account, **({"exp": end} if ends == "account" else {}))
    jwt = user_token(key, account, **({"exp": end} if ends == "user" else {}))
    pair = Pair(servers, operator.config(), leaf=True)

    def begin(server):
        leaf = RawClient(server.leaf_port)
        leaf.send(connect(jwt=jwt, sig=key.sign(leaf.info["nonce"]))(leaf.info))
        assert b"connect_info" in leaf.line()
        return leaf

    both = [begin(server) for server in pair.both]
    real, ours = ([line for line in leaf.read_until_closed(10).split(b"\r\n") if line.startswith(b"-ERR")] for leaf in both)
    assert ours == real and b"Authentication Expired" in ours[0]


@pytest.mark.ours
async def test_a_reload_reaches_links_that_are_there(hub, petiole):
    def config(users):
        return "accounts { A { users: [ %s ] }, B { users: [ {user: c, password: c} ] } }" % ", ".join(users)

    stays, goes, less = "{user: a, password: a}", "{user: b, password: b}", '{user: d, password: d, permissions: {publish: "p"}}'
    upstream = petiole(config([stays, goes, "{user: d, password: d}"]), leaf=True, name="hub")
    edges = {name: hub(remotes(url(upstream, f"{name}:{name}")), leaf=False, name=f"edge-{name}") for name in ("a", "b", "d")}
    await until_linked(upstream, 3)
    reload(upstream, config([stays, less]))
    await until(lambda: edges["b"].log().count("Authorization Violation") > 1)
    await until(lambda: len(leafs(upstream)) == 2)
    assert edges["a"].log().count("Leafnode connection created") == 1
    # Its rights are others now, of which it hears when it comes back.
    await until(lambda: edges["d"].log().count("Leafnode connection created") == 2)
    reload(upstream, config([stays, goes, less]))
    await until_linked(upstream, 3)


@pytest.mark.ours
async def test_a_link_whose_token_is_revoked_ends(hub, petiole, tmp_path):
    operator, account, key = Operator(), account_key(), user_key()
    operator.add(account)
    path = tmp_path / "edge.creds"
    path.write_text(creds(user_token(key, account), key))
    upstream = petiole(operator.config(), leaf=True, name="hub")
    edge = hub(remotes(url(upstream) + f', credentials: "{path}"'), leaf=False, name="edge")
    await until_linked(upstream)
    operator.add(account, revocations={key.public: 2_000_000_000})
    reload(upstream, operator.config())
    await until(lambda: "User Authentication Revoked" in edge.log())
    await until(lambda: "Authorization Violation" in edge.log())
    assert leafs(upstream) == []


@pytest.mark.ours
async def test_a_server_that_does_not_wait_for_its_slow_password_loses_nothing(servers, client):
    # Releases before 2.10 tell their interest right behind CONNECT.
    if not binary("debian").exists():
        pytest.skip("packaging/setup-servers.sh has not been run")
    upstream = servers(PETIOLE, "hub", config='authorization { users: [ {user: u, password: "%s"} ] }' % SLOW_HASH, leaf=True).start()
    edge = servers(str(binary("debian")), "edge", config=remotes(url(upstream, "u:secret")).replace('"100ms"', "1")).start()
    await until_linked(upstream)
    await carries(upstream, {"user": "u", "password": "secret"}, edge, {}, client)


# TLS

CERTIFIED = """
accounts {{
  A {{ users: [ {{user: "{user}"}} ] }}
  B {{ users: [ {{user: b, password: b}} ] }}
}}
"""


@pytest.mark.parametrize("binary_of_edge", [NATS_SERVER, PETIOLE], ids=["real", "ours"])
@pytest.mark.parametrize(
    "at_hub, at_edge, scheme",
    [
        ("{server}", "{ca}", "nats-leaf"),
        ("{server} handshake_first: true", "{ca} handshake_first: true", "tls"),
        ("{server} handshake_first: auto", "{ca}", "tls"),
        ("{server} handshake_first: auto", "{ca} handshake_first: true", "tls"),
        ("{server} verify: true", "{client}", "tls"),
    ],
)
async def test_a_leaf_comes_inside_tls(servers, client, certificates, binary_of_edge, at_hub, at_edge, scheme):
    names = {"server": certificates.files("server", "ca"), "ca": certificates.files(None, "ca"), "client": certificates.files("client", "ca")}
    upstream = servers(PETIOLE, "hub", leaf="tls { " + at_hub.format(**names) + " }").start()
    link = f'url: "{scheme}://127.0.0.1:{upstream.leaf_port}", tls {{ {at_edge.format(**names)} }}'
    edge = servers(binary_of_edge, "edge", config=remotes(link)).start()
    await until_linked(upstream)
    await carries(upstream, {}, edge, {}, client)


@pytest.mark.ours
@pytest.mark.parametrize("certificate", [None, "other-client"])
async def test_a_leaf_without_the_certificate_is_refused(petiole, hub, certificates, certificate):
    upstream = petiole(leaf="tls { " + certificates.files("server", "ca") + " verify: true }", name="hub")
    tls = certificates.files(certificate, "ca")
    edge = hub(remotes(f'url: "tls://127.0.0.1:{upstream.leaf_port}", tls {{ {tls} }}'), leaf=False, name="edge")
    await until(lambda: upstream.log().count("TLS: ") > 1, what=upstream.log())
    assert leafs(upstream) == []


@pytest.mark.parametrize(
    "user, leaf, account",
    [
        ("gateway.example", "", "A"),
        ("CN=client,O=Example", "", "A"),
        ("nobody", "", None),
        ("gateway.example", "authorization {{ users: [ {{user: gateway.example, account: B}}, {{user: x, password: x}} ] }}", "B"),
        ("gateway.example", "authorization {{ users: [ {{user: x, account: B}} ] }}", None),
    ],
)
async def test_a_certificate_says_who_a_leaf_is(servers, certificates, user, leaf, account):
    """The same at a real hub and at ours."""
    for binary_of_hub, name in ((NATS_SERVER, "real"), (PETIOLE, "ours")):
        tls = "tls { " + certificates.files("server", "ca") + " verify_and_map: true }\n"
        upstream = servers(binary_of_hub, name, config=CERTIFIED.format(user=user), leaf=tls + leaf.format()).start()
        link = f'url: "tls://x:y@127.0.0.1:{upstream.leaf_port}", tls {{ {certificates.files("client", "ca")} }}'
        if account is not None:
            link = link.replace("x:y@", "")
        edge = servers(NATS_SERVER, f"edge-{name}", config=remotes(link)).start()
        if account is None:
            await until(lambda: edge.log().count("Authorization Violation") > 1)
            assert leafs(upstream) == []
        else:
            await until_linked(upstream)
            assert leafs(upstream)[0]["account"] == account


@pytest.mark.parametrize(
    "config, leaf, problem",
    [
        ("", "authorization { user: a, users: [ {user: b} ] }", "can not have a single user/pass"),
        ("", "authorization { users: [ {user: b}, {user: b} ] }", "duplicate user"),
        ("", "authorization { user: a, account: NONE }", "NONE"),
        ("", "authorization { nkey: UABC }", "nkey"),
        ("", "authorization { users: [ {user: a, permissions: {}} ] }", "permissions"),
    ],
)
def test_users_of_leafs_that_make_no_sense_are_refused_by_both(servers, config, leaf, problem):
    for binary_of_hub, name in ((NATS_SERVER, "real"), (PETIOLE, "ours")):
        server = servers(binary_of_hub, name, config=config, leaf=leaf).spawn()
        assert server.wait() == 1, name
        assert problem in server.log(), server.log()
