"""Clients over WebSocket: nats-py as upstream's own tests use it, and frames and handshakes beside a real nats-server."""

import asyncio
import json
import random
import ssl

import nats
import pytest

from rawclient import RawClient
from rawsocket import BINARY, CLOSE, GOOD, PING, PONG, TEXT, RawSocket, frame, request
from servers import until as wait
from waiting import until


@pytest.fixture
def gateway(petiole):
    """An agent with a WebSocket listener; `extra` stands in its block."""
    return lambda extra="", **options: petiole(websocket=extra, **options)


@pytest.fixture
async def dial():
    """await dial(server) gives a nats-py client over WebSocket."""
    connected = []

    async def connect(server, **options):
        nc = await nats.connect(server.websocket_url, **{"connect_timeout": 5, "reconnect_time_wait": 0.1, **options})
        connected.append(nc)
        return nc

    yield connect
    for nc in connected:
        if not nc.is_closed:
            await asyncio.wait_for(nc.close(), 5)


@pytest.mark.smoke
async def test_messages_headers_and_requests(gateway, dial):
    server = gateway()
    nc = await dial(server)
    subscription = await nc.subscribe("foo")
    await nc.publish("foo", b"hello world", headers={"foo": "bar", "hello": "world-1"})
    message = await subscription.next_msg(5)
    assert message.data == b"hello world" and message.headers == {"foo": "bar", "hello": "world-1"}
    for headers in ({"": ""}, {"      ": ""}, {"": "                  "}):
        await nc.publish("foo", b"x", headers=headers)
        assert (await subscription.next_msg(5)).headers is None
    headers = {"timestamp": "2022-06-15T19:08:14.639020", "type": "rpc", "command": "publish_state", "trace_id": "", "span_id": ""}
    await nc.publish("foo", b"Hello from Python!", headers=headers)
    assert (await subscription.next_msg(5)).headers == headers

    async def service(request):
        request.headers["quux"] = "quuz"
        await request.respond(b"OK!")

    await nc.subscribe("service", cb=service)
    await nc.flush()
    reply = await nc.request("service", b"hello world", headers={"foo": "bar", "hello": "world"}, timeout=5)
    assert reply.data == b"OK!" and reply.headers == {"foo": "bar", "hello": "world", "quux": "quuz"}


async def test_large_and_many_messages_beside_a_client_over_tcp(gateway, dial, client):
    server = gateway()
    here, there = await dial(server), await client(server)
    generator = random.Random(5)
    for publisher, receiver in ((here, there), (there, here)):
        subscription = await receiver.subscribe("bulk.>", pending_msgs_limit=-1, pending_bytes_limit=-1)
        await receiver.flush()
        payloads = [generator.randbytes(1 << 20), b"", b"x" * 70_000, *(generator.randbytes(generator.randrange(400)) for _ in range(5000))]
        for number, payload in enumerate(payloads):
            await publisher.publish(f"bulk.{number}", payload)
        await publisher.flush(20)
        for payload in payloads:
            assert (await subscription.next_msg(10)).data == payload
        await subscription.unsubscribe()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_client_comes_back_after_a_restart_with_its_subscriptions_and_headers(gateway, dial, certificates, scheme):
    server = gateway(secure(certificates) if scheme == "wss" else "")
    back = asyncio.Event()

    async def reconnected():
        back.set()

    headers = {"X-Persistent-Session": ["session-12345"], "Authorization": ["Bearer ReconnectToken"], "Accept": ["application/json", "text/plain"]}
    tls = {"tls": trusting(certificates)} if scheme == "wss" else {}
    nc = await dial(server, reconnected_cb=reconnected, ws_connection_headers=headers, **tls)
    subscription = await nc.subscribe("foo")

    async def answer(request):
        await request.respond(b"OK!")

    await nc.subscribe("bar", cb=answer)
    await nc.publish("foo", b"First")
    assert (await subscription.next_msg(5)).data == b"First" and (await nc.request("bar", b"hi", timeout=5)).data == b"OK!"
    server.stop()
    server.start()
    await asyncio.wait_for(back.wait(), 10)
    await nc.publish("foo", b"Second")
    assert (await subscription.next_msg(5)).data == b"Second" and (await nc.request("bar", b"hi", timeout=5)).data == b"OK!"
    server.stop()
    await until(lambda: not nc.is_connected, 10, "the client has noticed")
    await nc.close()


async def test_jetstream_over_websocket(gateway, dial):
    server = gateway(jetstream=True)
    js = (await dial(server)).jetstream()
    await js.add_stream(name="S", subjects=["s.>"])
    for number in range(50):
        assert (await js.publish("s.a", b"%d" % number)).seq == number + 1
    subscription = await js.pull_subscribe("s.>", "c")
    assert [message.data for message in await subscription.fetch(50, timeout=5)] == [b"%d" % number for number in range(50)]


def test_monitoring_tells_websocket_clients_from_others(gateway):
    server = gateway('advertise: "gw.example:443", same_origin: true, allowed_origins: ["https://a.example"], handshake_timeout: "3s"')
    with RawSocket(server.websocket_port) as raw, RawClient(server.port) as other:
        info = json.loads(raw.next()[1][5:])
        assert info["port"] == server.websocket_port and info["host"] == "127.0.0.1" and other.info["port"] == server.port
        raw.say('CONNECT {"verbose": false, "name": "w"}\r\n')
        other.connect(name="t")
        connections = {one.get("name"): one for one in server.json("/connz")["connections"]}
        assert {name: (one["kind"], one["type"]) for name, one in connections.items()} == {"w": ("Client", "websocket"), "t": ("Client", "nats")}
    assert server.json("/varz")["websocket"] == {
        "host": "127.0.0.1", "port": server.websocket_port, "advertise": "gw.example:443", "handshake_timeout": 3_000_000_000,
        "no_tls": True, "same_origin": True, "allowed_origins": ["https://a.example"],
    }  # fmt: skip


def trusting(certificates, own=None):
    """A client's TLS; with `own` it shows that certificate."""
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    if own:
        context.load_cert_chain(certificates.path(f"{own}.pem"), certificates.path(f"{own}.key"))
    return context


def secure(certificates, extra="", certificate="server"):
    return f"tls {{ {certificates.files(certificate, 'ca')} {extra} }}"


@pytest.mark.smoke
async def test_clients_over_websocket_inside_tls(gateway, dial, client, certificates):
    server = gateway(secure(certificates))
    here, there = await dial(server, tls=trusting(certificates)), await client(server)
    subscription = await there.subscribe("a")
    await there.flush()
    await here.publish("a", b"x" * 300_000)
    assert (await subscription.next_msg(5)).data == b"x" * 300_000
    with pytest.raises((nats.errors.NoServersError, nats.errors.Error, ssl.SSLError, OSError)):
        await dial(server, tls=ssl.create_default_context(), allow_reconnect=False)


def test_websocket_inside_tls_is_told_and_shown_as_by_nats_server(gateway, hub, certificates):
    def seen(server):
        with RawSocket(server.websocket_port, tls=trusting(certificates, "client")) as raw:
            info = json.loads(raw.next()[1][5:])
            raw.say('CONNECT {"verbose": false}\r\n')
            (one,) = server.json("/connz?auth=1")["connections"]
            varz = server.json("/varz")["websocket"]
        # TLS 1.3 tells a client that it is not wanted behind its own half of the handshake.
        for tls in (trusting(certificates), None):
            with RawSocket(server.websocket_port, tls=tls) as raw:
                assert not raw.status.startswith("HTTP/1.1 101")
        return (
            {name: info.get(name) for name in ("tls_required", "tls_available", "tls_verify", "auth_required")},
            {name: one.get(name) for name in ("kind", "type", "tls_version", "tls_first", "tls_peer_certs")},
            {name: varz.get(name) for name in ("no_tls", "same_origin")},
        )

    extra = secure(certificates, "verify: true")
    assert seen(gateway(extra)) == seen(hub(websocket=extra, leaf=False))


@pytest.mark.ours
def test_a_renewed_certificate_of_the_websocket_listener_needs_no_restart(gateway, certificates, tmp_path):
    for kind in ("pem", "key"):
        (tmp_path / f"own.{kind}").write_text(open(certificates.path(f"stranger.{kind}")).read())
    server = gateway(f'tls {{ cert_file: "{tmp_path}/own.pem", key_file: "{tmp_path}/own.key" }}')
    with pytest.raises(ssl.SSLCertVerificationError):
        RawSocket(server.websocket_port, tls=trusting(certificates))
    wait(lambda: "websocket: TLS handshake error" in server.log(), 10, "the refusal in the log")
    for kind in ("pem", "key"):
        (tmp_path / f"own.{kind}").write_text(open(certificates.path(f"server.{kind}")).read())
    server.signal(1)

    def upgraded():
        try:
            with RawSocket(server.websocket_port, tls=trusting(certificates)) as raw:
                return raw.status.startswith("HTTP/1.1 101")
        except ssl.SSLError:
            return False

    wait(upgraded, 10, "the new certificate is shown")


HANDSHAKES = {
    "good": (GOOD, "GET / HTTP/1.1"),
    "any path": (GOOD, "GET /some/where?x=1 HTTP/1.1"),
    "mqtt": (GOOD, "GET /mqtt HTTP/1.1"),
    "post": (GOOD, "POST / HTTP/1.1"),
    "lists": ({**GOOD, "Connection": "keep-alive, upgrade", "Upgrade": "foo, WebSocket"}, "GET / HTTP/1.1"),
    "no masking": ({**GOOD, "Nats-No-Masking": "true"}, "GET / HTTP/1.1"),
    "old version": ({**GOOD, "Sec-WebSocket-Version": "8"}, "GET / HTTP/1.1"),
    "bad key": ({**GOOD, "Sec-WebSocket-Key": "eA=="}, "GET / HTTP/1.1"),
    "same origin": ({**GOOD, "Origin": "http://gw:8080"}, "GET / HTTP/1.1"),
    "other origin": ({**GOOD, "Origin": "http://evil.example"}, "GET / HTTP/1.1"),
    "no origin at all": ({**GOOD, "Origin": "null"}, "GET / HTTP/1.1"),
    **{f"no {name}": ({**GOOD, name: None}, "GET / HTTP/1.1") for name in GOOD},
}


def test_handshakes_are_judged_as_by_nats_server(gateway, hub):
    extra = 'same_origin: true, headers { "X-Site": "gw-42" }'
    ours, theirs = gateway(extra), hub(websocket=extra, leaf=False)

    def answers(server):
        seen = {}
        for name, (fields, line) in HANDSHAKES.items():
            with RawSocket(server.websocket_port, fields, line) as raw:
                upgraded = raw.status.startswith("HTTP/1.1 101")
                # What else a refusal says is the HTTP library's own.
                seen[name] = sorted(raw.fields) if upgraded else raw.status[:12]
        return seen

    assert answers(ours) == answers(theirs)


def test_frames_are_answered_as_by_nats_server(gateway, hub):
    ours, theirs = gateway(), hub(websocket="", leaf=False)

    def conversation(server):
        seen = []
        with RawSocket(server.websocket_port) as raw:
            seen.append(raw.next()[0])
            # In pieces, with a ping between them; text is as good as binary, and empty frames are nothing.
            raw.send(frame(TEXT, 'CONNECT {"verbose"', final=False) + frame(PING, "between") + frame(0, ": false}\r\n", final=False) + frame(0))
            raw.send(frame(BINARY) + frame(PONG, "unasked") + frame(PING) + frame(BINARY, "SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n"))
            said = b""
            while b"PONG" not in said:
                opcode, payload = raw.next()
                seen.append((opcode, payload)) if opcode != BINARY else None
                said += payload if opcode == BINARY else b""
            seen.append(said)
            raw.send(frame(CLOSE, b"\x03\xe8bye"))
            seen += [(opcode, payload[:2]) for opcode, payload in raw.until_closed()]
        for payload in (b"", b"\x0f\xa0own"):
            with RawSocket(server.websocket_port) as raw:
                raw.next()
                raw.send(frame(CLOSE, payload))
                seen += [(opcode, data[:2]) for opcode, data in raw.until_closed()]
        with RawSocket(server.websocket_port, {**GOOD, "Nats-No-Masking": "true"}) as raw:
            raw.next()
            raw.send(frame(BINARY, "CONNECT {}\r\nPING\r\n", key=None))
            seen.append(raw.next())
        with RawSocket(server.websocket_port) as raw:
            raw.next()
            raw.say('CONNECT {"verbose": false}\r\n')
            raw.send(frame(BINARY, "PUB a 2000000\r\n"))
            seen += [(opcode, payload[:2] if opcode == CLOSE else payload) for opcode, payload in raw.until_closed()]
        return seen

    assert conversation(ours) == conversation(theirs)


@pytest.mark.parametrize(
    "bad",
    [
        frame(BINARY, "PING\r\n", key=None), frame(3, "x"), frame(0, "x"), b"\xc2\x80\x01\x02\x03\x04", frame(PING, b"x" * 126),
        frame(PING, final=False), frame(TEXT, "P", final=False) + frame(TEXT, "ING\r\n"), b"\x82\xff\xff" + b"\x00" * 11, frame(CLOSE, b"\x03"),
    ],
)  # fmt: skip
def test_frames_that_are_none_end_the_connection_and_nothing_else(gateway, bad):
    server = gateway()
    with RawSocket(server.websocket_port) as raw, RawSocket(server.websocket_port) as other:
        raw.next()
        other.next()
        raw.say('CONNECT {"verbose": false}\r\n')
        raw.send(bad)
        raw.until_closed()
        assert other.say('CONNECT {"verbose": false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\n') == b"MSG a 1 2\r\nhi\r\n"


@pytest.mark.ours
def test_what_asks_too_slowly_or_too_much_is_turned_away(gateway):
    server = gateway('handshake_timeout: "500ms"')
    with RawSocket(server.websocket_port, raw="GET / HTTP/1.1\r\nHost:") as raw:
        assert raw.status == "" and raw.closed
    with RawSocket(server.websocket_port, raw="GET / HTTP/1.1\r\nX: " + "x" * 20_000) as raw:
        assert raw.status == "HTTP/1.1 400 Bad Request"
    with RawSocket(server.websocket_port, raw=request() + "x") as raw:
        assert raw.status == "HTTP/1.1 400 Bad Request"
    assert "websocket handshake error: not a request that can be read" in server.log()


def test_a_browser_gets_frames_that_it_copes_with(gateway):
    server = gateway()
    with RawSocket(server.websocket_port, {**GOOD, "User-Agent": "Mozilla/5.0"}) as raw:
        raw.next()
        raw.say('CONNECT {"verbose": false}\r\nSUB a 1\r\n')
        raw.send(frame(BINARY, b"PUB a 20000\r\n" + b"x" * 20_000 + b"\r\n"))
        sizes = []
        while sum(sizes) < 20_000:
            opcode, payload = raw.next()
            assert opcode == BINARY
            sizes.append(len(payload))
        assert max(sizes) <= 4096
