"""Hostile and broken input: garbage on the wire, nonsense from a hub, ports and stores that cannot be used."""

import asyncio
import json
import os
import random
import socket
import threading
import time

import pytest

from rawclient import RawClient
from servers import RUNNER
from servers import until as wait
from waiting import until


def still_serves(server):
    with RawClient(server.port) as raw:
        raw.connect()
        raw.send("SUB ok 1\r\nPUB ok 2\r\nhi\r\n")
        raw.expect("MSG ok 1 2\r\nhi\r\n")


@pytest.mark.smoke
def test_garbage_on_the_client_port(petiole):
    server = petiole()
    generator = random.Random(42)
    for size in (1, 7, 100, 5000, 70_000):
        for prefix in (b"", b"\x00", b"\x16\x03\x01", b"PUB ", b"HPUB a 9999999999999999999 3\r\n", b"SUB " + b"\xff" * 50, b"PUB a 18446744073709551616\r\n"):
            with RawClient(server.port) as raw:
                raw.send(prefix + generator.randbytes(size))
    still_serves(server)


@pytest.mark.parametrize("options", ["{", "[]", "null", "1", '"x"', '{"verbose":1}', '{"protocol":"a"}', "{}x", pytest.param('{"a":' * 800, id="deep")])
def test_malformed_connect_closes_without_harm(petiole, options):
    server = petiole()
    with RawClient(server.port) as raw:
        raw.send(f"CONNECT {options}\r\n")
        raw.send("PING\r\n")
        while raw.fill(time.monotonic() + 0.5):
            pass
    still_serves(server)


@pytest.mark.smoke
def test_a_line_longer_than_max_control_line_closes(petiole):
    server = petiole()
    with RawClient(server.port) as raw:
        raw.connect()
        raw.send("SUB " + "a" * 5000 + " 1\r\n")
        assert raw.read_until_closed() == b"-ERR 'maximum control line exceeded'\r\n"
    with RawClient(server.port) as raw:
        raw.connect()
        raw.send("A" * 100_000)  # no line end at all
        raw.read_until_closed()
    still_serves(server)


@pytest.mark.smoke
def test_a_payload_over_the_limit_closes_before_it_is_read(petiole):
    server = petiole()
    with RawClient(server.port) as raw:
        raw.connect()
        raw.send("PUB a 1048577\r\n")
        assert raw.read_until_closed() == b"-ERR 'Maximum Payload Violation'\r\n"
    still_serves(server)


def test_a_client_that_does_not_read_is_closed_and_harms_nobody(petiole):
    server = petiole("max_pending: 4MB\nmax_payload: 1MB\nwrite_deadline: 2s\n")
    with RawClient(server.port) as slow, RawClient(server.port) as fast, RawClient(server.port) as publisher:
        slow.connect()
        slow.send("SUB flood 1\r\n")
        fast.connect()
        fast.send("SUB flood 1\r\n")
        fast.flush()
        publisher.connect()
        body = b"x" * (1 << 20)
        for _ in range(40):
            publisher.send(b"PUB flood %d\r\n" % len(body) + body + b"\r\n")
            fast.expect(b"MSG flood 1 1048576\r\n" + body + b"\r\n", seconds=20)
        wait(lambda: json.loads(server.get("/varz")[1])["slow_consumers"] >= 1, 10, "a slow consumer in /varz")
        slow.read_until_closed(20)
    still_serves(server)


def test_max_connections_is_kept(petiole):
    server = petiole("max_connections: 2\n")
    # The connection by which the harness saw that the server listens.
    wait(lambda: server.json("/varz")["connections"] == 0, 5, "no connection")
    with RawClient(server.port) as one, RawClient(server.port) as two:
        one.connect(), two.connect()
        with RawClient(server.port) as three:
            assert three.read_until_closed() == b"-ERR 'maximum connections exceeded'\r\n"
    wait(lambda: server.json("/varz")["connections"] == 0, 5, "both gone")
    still_serves(server)


@pytest.mark.smoke
async def test_malformed_json_to_every_api(petiole, client):
    server = petiole(jetstream=True)
    nc = await client(server)
    js = nc.jetstream()
    await js.add_stream(name="S", subjects=["s"])
    await js.add_consumer("S", durable_name="c", ack_policy="explicit")
    await js.publish("s", b"x")
    subjects = ["STREAM.CREATE.X", "STREAM.UPDATE.S", "STREAM.INFO.S", "STREAM.NAMES", "STREAM.LIST", "STREAM.PURGE.S", "STREAM.MSG.GET.S",
                "STREAM.MSG.DELETE.S", "CONSUMER.CREATE.S.y", "CONSUMER.DURABLE.CREATE.S.y", "CONSUMER.NAMES.S", "CONSUMER.LIST.S"]  # fmt: skip
    bodies = [b"{", b"[", b'{"a', b"\xff\xfe", b'{"name":' + b"[" * 10_000, b'{"seq":1e999}', b'{"seq":-1}', b"\x00" * 10, b'{"name":"\\ud800"}']
    for subject in subjects:
        for body in bodies:
            reply = await nc.request(f"$JS.API.{subject}", body, timeout=5)
            json.loads(reply.data)
    info = await js.stream_info("S")
    assert info.state.messages <= 1
    assert (await js.publish("s", b"y")).stream == "S"


def test_a_port_in_use_is_a_clear_error(agent):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = agent()
        server.port = taken.getsockname()[1]
        server.spawn()
        assert server.wait(30) == 1
        assert str(server.port) in server.log() and "address already in use" in server.log().lower()


@pytest.mark.ours
def test_two_agents_on_one_store_is_a_clear_error(agent, petiole):
    first = petiole(jetstream=True)
    second = agent(name="second")
    second.config = f'jetstream {{ store_dir: "{first.store_dir}" }}'
    second.spawn()
    assert second.wait(30) == 1
    assert str(first.store_dir) in second.log() and "in use" in second.log().lower()
    still_serves(first)


@pytest.mark.ours
def test_a_store_that_cannot_be_written_is_a_clear_error(agent):
    server = agent()
    blocked = server.directory / "a-file"
    blocked.write_text("")
    # A file where a directory should be stops root too, whom permissions do not.
    server.config = f'jetstream {{ store_dir: "{blocked}/store" }}'
    server.spawn()
    assert server.wait(30) == 1
    assert str(blocked) in server.log()


@pytest.mark.ours
@pytest.mark.skipif(RUNNER != [] or os.getuid() != 0, reason="needs to drop root's rights of a native process")
def test_a_read_only_store_is_a_clear_error(agent):
    server = agent(jetstream=True)
    server.store_dir.mkdir()
    server.directory.chmod(0o777)
    for parent in server.directory.parents[:3]:
        parent.chmod(0o755)
    server.store_dir.chmod(0o555)
    server.command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *server.command]
    server.spawn()
    assert server.wait(30) == 1
    assert str(server.store_dir) in server.log() and "permission denied" in server.log().lower()


@pytest.mark.ours
async def test_a_corrupted_segment_loses_no_other_message(petiole, client):
    server = petiole(jetstream=True)
    js = (await client(server)).jetstream()
    await js.add_stream(name="S", subjects=["s"])
    for batch in range(20):
        await asyncio.gather(*(js.publish("s", b"%04d" % (batch * 100 + n) + b"x" * 200) for n in range(100)))
    server.kill()
    largest = max((path for path in server.store_dir.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    at = data.find(b"1000" + b"x" * 50)
    assert at > 0
    for offset in range(at, at + 20):
        data[offset] ^= 0x55
    largest.write_bytes(data)
    server.start()
    js = (await client(server)).jetstream()
    present = 0
    for sequence in range(1, 2001):
        try:
            message = await js.get_msg("S", sequence)
        except Exception:
            continue
        assert message.data[:4] == b"%04d" % (sequence - 1)
        present += 1
    # The damaged record goes; the records of the same batch may, as one checksum closes it.
    assert 1900 <= present < 2000, present
    assert "corrupt" in server.log().lower() or "damage" in server.log().lower()
    assert (await js.publish("s", b"next")).seq == 2001


@pytest.mark.ours
async def test_a_torn_tail_is_cut_silently(petiole, client):
    server = petiole(jetstream=True)
    js = (await client(server)).jetstream()
    await js.add_stream(name="S", subjects=["s"])
    for number in range(100):
        await js.publish("s", b"%d" % number)
    server.kill()
    newest = max((path for path in server.store_dir.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = newest.read_bytes()
    # Behind the last record, wherever the preallocated zeros begin; a record may end with zeros of its own.
    end = (len(data.rstrip(b"\0")) + 63) // 64 * 64
    newest.write_bytes(data[:end] + b"\x42" * 37)
    server.start()
    js = (await client(server)).jetstream()
    assert (await js.stream_info("S")).state.messages == 100
    assert (await js.publish("s", b"next")).seq == 101


class BadHub:
    """Accepts leaf connections and misbehaves in one of several ways."""

    INFO = b'INFO {"server_id":"NAAA","server_name":"bad","version":"2.15.1","proto":1,"host":"127.0.0.1","port":1,"headers":true,"max_payload":1048576}\r\n'
    WAYS = {
        "closes at once": [],
        "half an INFO": [INFO[:40]],
        "garbage": [b"\x00\xff" * 1000],
        "an endless line": [b"INFO {" + b"a" * 200_000],
        "INFO is not JSON": [b"INFO {{{{\r\n"],
        "closes after INFO": [INFO],
        "nonsense after INFO": [INFO, b"LMSG \r\nLS+\r\nXYZ 1 2 3\r\n"],
        "an error": [INFO, b"-ERR 'Authorization Violation'\r\n"],
        "impossible sizes": [INFO, b"LMSG a 99999999999999999999\r\n"],
        "broken S2": [INFO.replace(b"}", b',"compression":"s2_fast"}'), b"\xff\x06\x00\x00S2sTwO\x00\xff\xff\xff" + b"\x99" * 500],
    }

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.script = []
        self.served = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(0.3)
                for part in self.script:
                    try:
                        connection.sendall(part)
                        connection.recv(1 << 16)
                    except OSError:
                        break
            self.served += 1


@pytest.mark.parametrize("way", BadHub.WAYS)
async def test_a_hub_that_misbehaves_is_survived_and_left(petiole, hub, way):
    bad = BadHub()
    bad.script = BadHub.WAYS[way]
    server = petiole(f'leafnodes {{ reconnect: "100ms", remotes: [ {{ url: "nats-leaf://127.0.0.1:{bad.port}" }} ] }}')
    await until(lambda: bad.served >= 2, 30, "two attempts")
    assert server.running()
    still_serves(server)
    bad.listener.close()
