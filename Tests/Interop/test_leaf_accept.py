"""Accepting leaf links: what a leaf listener says to whatever connects, beside a real nats-server, and who may stay."""

import asyncio
import json
import signal
import time

import nats
import pytest

from rawclient import RawClient
from servers import NATS_SERVER, PETIOLE
from waiting import leafs, until, until_interest, until_linked

LIMITS = "max_payload: 2000"
CONNECT = 'CONNECT {"version":"2.15.1","name":"a","cluster":"a","headers":true,"remote_account":"$G"}\r\n'
# So long no answer is none. A PING behind what makes a server close would make the close a reset, which takes the answer away.
SILENCE_SECONDS = 0.4
# What is said, in turns; the server answers each turn before the next.
TALKS = {
    "a PING first": ["PING\r\n"],
    "interest first": ["LS+ a\r\n"],
    "CONNECT cut short": ["CONNECT {\r\n"],
    "CONNECT that is a list": ["CONNECT []\r\n"],
    "a name that is a number": ['CONNECT {"name":5}\r\n'],
    "a client": ['CONNECT {"lang":"go","version":"1.40.0"}\r\n'],
    "a gateway": ['CONNECT {"gateway":"X"}\r\n'],
    "a blank in the cluster": ['CONNECT {"cluster":"a b"}\r\n'],
    "a reserved cluster": ['CONNECT {"cluster":"_"}\r\n'],
    "the server's own name": ['CONNECT {"cluster":"hub"}\r\n', "PING\r\n"],
    "an empty CONNECT": ["CONNECT {}\r\n", "PING\r\n"],
    "an empty INFO": ["INFO {}\r\n", "PING\r\n"],
    "INFO without compression": ['INFO {"compression":"off"}\r\n', CONNECT, "PING\r\n"],
    "INFO with a mode of nobody": ['INFO {"compression":"zstd"}\r\n'],
    "two INFOs": ['INFO {"compression":"off"}\r\n', 'INFO {"compression":"off"}\r\n'],
    "a queue without a weight": [CONNECT, "LS+ foo q\r\n"],
    "a weight of nobody": [CONNECT, "LS+ foo q 0\r\n", "PING\r\n"],
    "literal interest in KV": [CONNECT, "LS+ $KV.a.b\r\n"],
    "interest in KV by pattern": [CONNECT, "LS+ $KV.a.>\r\n", "PING\r\n"],
    "literal interest in the API": [CONNECT, "LS+ $JS.API.INFO\r\n"],
    "literal interest in the own domain": [CONNECT, "LS+ $JS.yard.API.INFO\r\n"],
    "literal interest in another domain": [CONNECT, "LS+ $JS.edge.API.INFO\r\n", "PING\r\n"],
    "a message to the API": [CONNECT, "LMSG $JS.API.NOWHERE 0\r\n\r\n", "PING\r\n"],
    "a message too large": [CONNECT, "LMSG foo 3000\r\n" + "x" * 3000 + "\r\n"],
    "an unknown operation": [CONNECT, "FOO\r\n"],
    "an invalid subject": [CONNECT, "LS+ foo..bar\r\n", "PING\r\n"],
    "interest that was never told": [CONNECT, "LS- foo\r\n", "PING\r\n"],
    "an endless subject": [CONNECT, "LS+ " + "a" * 70000 + "\r\n"],
    "an error": [CONNECT, "-ERR 'hello'\r\n", "PING\r\n"],
    "a loop": [CONNECT, "-ERR 'Loop detected for leafnode account=\"$G\".'\r\n"],
    "credentials where none are asked for": ['CONNECT {"user":"x","pass":"y"}\r\n', "PING\r\n"],
    "messages of all forms": [
        CONNECT,
        "LMSG a 1\r\nx\r\nLMSG a r 1\r\nx\r\nLMSG a + r q 1\r\nx\r\nLMSG a | q1 q2 1\r\nx\r\nHMSG a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        "PING\r\n",
    ],
    "a message without its queue": [CONNECT, "LMSG a + r 1\r\nx\r\n"],
    "headers longer than the message": [CONNECT, "HMSG a 12 5\r\nNATS/\r\n"],
}


def remote(hub, more="compression: off"):
    return f'leafnodes {{ reconnect: "100ms", remotes: [ {{ url: "{hub.leaf_url}", {more} }} ] }}'


def talk(server, turns):
    """What the server says to each turn, and whether it has closed in the end. A turn that depends on the server's INFO is a function of it."""
    answers = []
    with RawClient(server.leaf_port) as spoke:
        for turn in turns:
            turn = turn(spoke.info) if callable(turn) else turn
            spoke.send(turn)
            # The end of each answer is known by what must come: a PONG, the loop mark behind CONNECT, or silence.
            seconds = 10 if turn == "PING\r\n" else 5 if turn.startswith("CONNECT") else SILENCE_SECONDS
            deadline = time.monotonic() + seconds
            lines = []
            while True:
                if b"\r\n" not in spoke.buffer and not spoke.fill(deadline):
                    break
                while b"\r\n" in spoke.buffer:
                    lines.append(spoke.line().decode(errors="backslashreplace"))
                if lines and (lines[-1] == "PONG" or any(line.startswith("LS+ $LDS.") for line in lines)):
                    break
            answers.append([told(line) for line in lines if not of_the_system(line)])
        if not spoke.closed:
            spoke.fill(time.monotonic() + SILENCE_SECONDS)
        return answers, spoke.closed


def of_the_system(line):
    # The servers differ in the services that every account has, and in the patterns of a JetStream domain; and each talk hears of the
    # interest of those beside it.
    return line.startswith(("LS+ ", "LS- ", "PING"))


def told(line):
    if not line.startswith("INFO "):
        return line
    info = json.loads(line[5:])
    known = ("connect_info", "remote_account", "acc_is_sys", "headers", "max_payload", "info_on_connect", "import", "export", "tls_required", "tls_verify")
    return sorted((key, info[key]) for key in known if key in info)


@pytest.fixture
def listeners(servers):
    """A real leaf listener and ours, with the same configuration."""
    options = {"config": LIMITS, "leaf": "compression: s2_auto", "jetstream": "domain: yard"}
    return [servers(NATS_SERVER, "theirs", **options).start(), servers(PETIOLE, "ours", **options).start()]


async def test_a_listener_answers_as_nats_server_does(listeners):
    async def one(number, name):
        # Each talk has a server name of its own: with one they would end each other as duplicates.
        turns = [turn.replace('"name":"a"', f'"name":"a{number}"').replace('"cluster":"a"', f'"cluster":"a{number}"') for turn in TALKS[name]]
        return name, await asyncio.gather(*(asyncio.to_thread(talk, server, turns) for server in listeners))

    answers = await asyncio.gather(*(one(*item) for item in enumerate(TALKS)))
    assert {name: both for name, both in answers if both[0] != both[1]} == {}


async def test_a_silent_connection_is_closed_in_time(petiole):
    server = petiole(leaf=True)
    with RawClient(server.leaf_port, read_info=False) as spoke:
        spoke.line()
        begun = time.monotonic()
        assert spoke.line() == b"-ERR 'Authentication Timeout'"
        assert 1.5 < time.monotonic() - begun < 3
        assert not spoke.fill(time.monotonic() + 5) and spoke.closed
    assert leafs(server) == []


async def test_the_first_info_is_as_nats_servers(listeners):
    seen = []
    for server in listeners:
        with RawClient(server.leaf_port) as spoke:
            seen.append(spoke.info)
    theirs, ours = seen
    assert set(theirs) - set(ours) == {"git_commit", "ip"}
    # The one member of ours, which no nats-server knows (docs/leaf-lz4.md).
    assert ours.pop("petiole_compression") == "s2_auto"
    assert set(ours) <= set(theirs)
    for key in ("host", "headers", "auth_required", "max_payload", "jetstream", "domain", "compression", "api_lvl", "info_on_connect"):
        assert ours[key] == theirs[key], key
    assert len(ours["nonce"]) == len(theirs["nonce"]) and ours["client_id"] > 0
    assert ours["leafnode_urls"] == [f"127.0.0.1:{listeners[1].leaf_port}"]
    assert all(type(ours[key]) is type(theirs[key]) for key in ours)


async def test_a_server_that_comes_back_replaces_its_old_link(petiole):
    upstream = petiole(leaf=True, name="hub")
    with RawClient(upstream.leaf_port) as old, RawClient(upstream.leaf_port) as new:
        old.send(CONNECT)
        await until_linked(upstream)
        new.send(CONNECT + "PING\r\n")
        while (line := old.line()) != b"-ERR 'Duplicate Remote LeafNode Connection'":
            assert line.startswith((b"INFO ", b"LS+ ", b"PING"))
        assert not old.fill(time.monotonic() + 5) and old.closed
        while new.line() != b"PONG":
            pass
        assert len(leafs(upstream)) == 1


async def test_old_servers_are_sent_away_by_min_version(petiole, hub):
    upstream = petiole(leaf='min_version: "2.99.0"', name="hub")
    spoke = hub(remote(upstream), leaf=False, name="edge")
    await until(lambda: "connection rejected since minimum version required is" in spoke.log())
    assert leafs(upstream) == []


async def test_no_address_is_advertised_where_none_shall_be(petiole, hub, client):
    upstream = petiole(leaf="no_advertise: true", name="hub")
    edge = hub(remote(upstream), leaf=False, name="edge")
    await until_linked(upstream)
    upstream.kill()
    upstream.start()
    await until_linked(upstream)
    assert edge.running()


async def test_a_ring_of_servers_is_opened(servers, client):
    ring = [servers(binary, name, leaf=True) for binary, name in ((PETIOLE, "one"), (NATS_SERVER, "two"), (PETIOLE, "three"))]
    for server, next_one in zip(ring, ring[1:] + ring[:1]):
        server.leaf = f'remotes: [ {{ url: "{next_one.leaf_url}" }} ]'
    for server in ring:
        server.start()
    await until(lambda: any("Loop detected" in server.log() or "loop detected" in server.log() for server in ring))
    clients = [await client(server) for server in ring]
    received = [await nc.subscribe("round") for nc in clients]
    for nc in clients:
        await nc.flush()
    await asyncio.sleep(0.3)  # interest travels, and a message that goes round would come again and again
    await clients[0].publish("round", b"once")
    await clients[0].flush()
    await asyncio.sleep(0.3)
    assert received[0].pending_msgs == 1 and all(one.pending_msgs <= 1 for one in received)


async def test_lame_duck_drains_leafs(petiole, hub):
    upstream = petiole('lame_duck_duration: "30s"\nlame_duck_grace_period: "100ms"', leaf=True, name="hub")
    edge = hub(remote(upstream), leaf=False, name="edge")
    await until_linked(upstream)
    upstream.signal(signal.SIGUSR2)
    assert await asyncio.to_thread(upstream.wait, 10) == 0
    assert edge.running()


async def test_monitoring_shows_links_of_both_directions(petiole, hub, client):
    top = hub()
    middle = petiole(leaf=f'compression: s2_fast, remotes: [ {{ url: "{top.leaf_url}", compression: off }} ]', name="middle")
    device = hub(remote(middle, "compression: s2_fast, request_isolation: true"), leaf=False, name="device")
    at_device = await client(device)
    await at_device.subscribe("here", queue="workers")
    await at_device.flush()
    await until_interest(top, "here")
    shown = {leaf["name"]: leaf for leaf in leafs(middle)}
    assert set(shown) == {"hub", "device"}
    assert shown["hub"]["is_spoke"] is True and shown["device"]["is_spoke"] is False
    assert shown["device"]["is_isolated"] is True and "is_isolated" not in shown["hub"]
    assert shown["device"]["compression"] == "s2_fast" and shown["hub"]["compression"] == "off"
    assert any(entry.split()[0] == "here" for entry in shown["device"]["subscriptions_list"])
    varz = middle.json("/varz")
    assert varz["leafnodes"] == 2 and varz["leaf"]["port"] == middle.leaf_port
    assert middle.json("/leafz?acc=nobody")["leafs"] == []
    # The real hub sees the same link from its side.
    (above,) = leafs(top)
    assert above["name"] == "middle" and above["is_spoke"] is False


async def test_isolated_leafs_hear_nothing_of_each_other(petiole, hub, client):
    upstream = petiole(leaf="isolate: true", name="hub")
    one, two = (hub(remote(upstream), leaf=False, name=name) for name in ("one", "two"))
    await until_linked(upstream, 2)
    at_hub, at_one, at_two = await client(upstream), await client(one), await client(two)
    received = await at_two.subscribe("x")
    await at_two.flush()
    await until_interest(upstream, "x")
    await at_one.publish("x", b"from another leaf")
    await at_one.flush()
    await at_hub.publish("x", b"from the hub")
    assert (await received.next_msg(5)).data == b"from the hub"
    with pytest.raises(nats.errors.TimeoutError):
        await received.next_msg(0.2)
