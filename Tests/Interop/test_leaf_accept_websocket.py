"""Accepting leaf links over WebSocket: from real nats-servers and from agents, in the clear and inside TLS, beside a real hub."""

import json

import pytest

from keys import user_key
from rawsocket import BINARY, CLOSE, RawSocket
from servers import NATS_SERVER, PETIOLE, free_port
from test_leaf_accept import CONNECT
from test_leaf_authentication import carries
from test_leaf_websocket import exchange, remote
from waiting import leafs, until, until_interest, until_linked

# How the edge comes: what the listener's block says, the URL's scheme, what the remote's entry says besides.
WAYS = {
    "in the clear": ("", "ws", ""),
    "without masks": ("", "ws", "ws_no_masking: true"),
    "inside TLS": ("tls {{ {server} verify: true }}", "wss", "tls {{ {client} }}"),
}
ACCOUNT_A = "accounts { A { users: [ {user: a, password: a} ] } }"


@pytest.fixture
def files(certificates):
    """Fills a text's certificates in."""
    names = {"server": certificates.files("server", "ca"), "ca": certificates.files(None, "ca"), "client": certificates.files("client", "ca")}
    return lambda text: text.format(**names)


@pytest.fixture
def edge(petiole, hub):
    """edge(kind, config) starts a nats-server or an agent that dials."""
    return lambda kind, config, name="edge": petiole(config, name=name) if kind == "petiole" else hub(config, name=name, leaf=False)


def url(server, scheme="ws", who="", path=""):
    return f"{scheme}://{who}{'@' if who else ''}127.0.0.1:{server.websocket_port}{path}"


@pytest.mark.smoke
@pytest.mark.parametrize(
    "way, kind", [("in the clear", "nats-server"), ("inside TLS", "nats-server"), ("without masks", "petiole"), ("inside TLS", "petiole")]
)
async def test_a_leaf_over_websocket_carries_both_ways_and_comes_back(petiole, edge, client, files, way, kind):
    listener, scheme, extra = (files(text) for text in WAYS[way])
    upstream = petiole(name="hub", leaf=True, websocket=listener)
    spoke = edge(kind, remote(url(upstream, scheme, path="/site"), extra))
    await until_linked(upstream)
    await exchange(spoke, upstream, client)
    (leaf,) = leafs(upstream)
    # nats-server has the same, but for the way.
    assert leaf["name"] == "edge" and leaf["compression"] == "off" and leaf["websocket"] is True and leaf["is_spoke"] is False
    at_edge = await client(spoke)
    await at_edge.subscribe("again")
    await at_edge.flush()
    await until_interest(upstream, "again")
    upstream.kill()
    upstream.start()
    await until_interest(upstream, "again")
    await carries(upstream, {}, spoke, {}, client)


USERS = """
accounts {
  A { users: [ {user: a, password: a}, {nkey: %s}, {user: web, password: p, allowed_connection_types: [LEAFNODE_WS]} ] }
  B { users: [ {user: tcp, password: p, allowed_connection_types: [LEAFNODE]}, {user: page, password: p, allowed_connection_types: [WEBSOCKET]} ] }
}
"""


@pytest.mark.parametrize("binary", [PETIOLE, NATS_SERVER], ids=["ours", "theirs"])
async def test_only_who_may_is_let_in_over_websocket_and_into_his_account(servers, edge, client, binary):
    key = user_key()
    upstream = servers(binary, "hub", config=USERS % key.public, leaf=True, websocket="").start()
    refused = [edge("nats-server", remote(url(upstream, who=who)), name) for name, who in (("wrong", "a:b"), ("tcp", "tcp:p"))]
    refused.append(edge("petiole", remote(url(upstream, who="page:p")), "page"))
    edges = [edge("nats-server", remote(url(upstream, who="web:p")), "web"), edge("petiole", remote(url(upstream), f'nkey: "{key.seed}"'), "key")]
    await until_linked(upstream, 2)
    for one in refused:
        await until(lambda: one.log().count("Authorization Violation") > 1, what=f"{one.name} is refused, and again")
    assert {leaf["name"]: leaf["account"] for leaf in leafs(upstream)} == {"web": "A", "key": "A"}
    await carries(upstream, {"user": "a", "password": "a"}, edges[0], {}, client)


@pytest.mark.parametrize("binary", [PETIOLE, NATS_SERVER], ids=["ours", "theirs"])
async def test_users_of_leafs_alone_and_their_certificates_count_over_websocket(servers, edge, files, binary):
    users = 'authorization { users: [ {user: "gateway.example", password: pw, account: A}, {user: b, password: b} ] }'
    upstream = servers(
        binary, "hub", config=ACCOUNT_A, leaf=files("tls {{ {server} verify_and_map: true }}\n") + users, websocket=files("tls {{ {server} verify: true }}")
    ).start()
    # The certificate says who it is, whatever the name in the URL; the user's password is asked for besides.
    spokes = [
        edge("nats-server", remote(url(upstream, "wss", "b:pw"), files("tls {{ {client} }}")), "certified"),
        edge("petiole", remote(url(upstream, "wss", "b:b"), files("tls {{ {client} }}")), "named"),
    ]
    await until_linked(upstream)
    await until(lambda: "Authorization Violation" in spokes[1].log())
    assert {leaf["name"]: leaf["account"] for leaf in leafs(upstream)} == {"certified": "A"}


async def test_servers_that_dial_each_other_over_websocket_are_a_loop(servers):
    ring = [servers(binary, name, leaf=True, websocket="") for binary, name in ((NATS_SERVER, "theirs"), (PETIOLE, "ours"))]
    for server in ring:
        server.websocket_port = free_port()
    for server, other in zip(ring, ring[::-1]):
        server.leaf = f'reconnect: "100ms", remotes: [ {{ url: "{url(other)}" }} ]'
        server.start()
    await until(lambda: any("oop detected" in server.log() for server in ring))


@pytest.mark.ours
async def test_a_leaf_is_told_over_websocket_that_none_is_accepted(petiole, edge):
    server = petiole(name="hub", websocket="")
    words = "Not configured to accept leaf node connections"
    with RawSocket(server.websocket_port, line="GET /leafnode HTTP/1.1") as raw:
        (_, error), (last, why) = raw.until_closed()
        assert error.decode() == f"-ERR '{words}'\r\n" and last == CLOSE and why[2:].decode() == words
    for kind in ("nats-server", "petiole"):
        spoke = edge(kind, remote(url(server)), name=kind)
        await until(lambda: words in spoke.log(), what=f"{kind} is told")
    assert words in server.log() and leafs(server) == []


async def test_info_and_its_answer_over_websocket_are_as_nats_servers(servers):
    seen = []
    for binary, name in ((NATS_SERVER, "theirs"), (PETIOLE, "ours")):
        server = servers(binary, name, leaf="compression: off", websocket="", jetstream="domain: yard").start()
        with RawSocket(server.websocket_port, line="GET /leafnode HTTP/1.1") as raw:
            assert raw.status == "HTTP/1.1 101 Switching Protocols"
            opcode, first = raw.next()
            answer = raw.say(CONNECT).decode().split("\r\n")[0]
            infos = [json.loads(line.removeprefix("INFO ")) for line in (first.decode().strip(), answer)]
            ports = {infos[0].pop("port"), infos[1].pop("port")}
            assert opcode == BINARY and ports == {server.leaf_port} and infos[0].pop("leafnode_urls") == [f"127.0.0.1:{server.leaf_port}"]
        for info in infos:
            for own in ("server_id", "server_name", "git_commit", "go", "ip", "proto", "nonce", "client_id", "leafnode_urls"):
                info.pop(own, None)
        seen.append(infos)
    assert seen[0] == seen[1]
