"""TLS for clients and for monitoring, against nats-py, Python's ssl, openssl, and beside the real nats-server."""

import asyncio
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.request

import nats
import pytest

from rawclient import RawClient
from servers import NATS_SERVER, PETIOLE, REPOSITORY, RUNNER, until


def context(certificates, authority="ca", certificate=None, version=None):
    made = ssl.create_default_context(cafile=certificates.path(authority + ".pem"))
    if certificate:
        made.load_cert_chain(certificates.path(certificate + ".pem"), certificates.path(certificate + ".key"))
    if version:
        made.minimum_version = made.maximum_version = version
    return made


class SecureClient(RawClient):
    """A raw client inside TLS: upgraded after INFO, or from the first byte."""

    def __init__(self, port, tls, first=False):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.buffer = b""
        self.closed = False
        if not first:
            self.info = json.loads(self.line()[5:])
            assert self.buffer == b"", "bytes behind INFO before TLS"
        self.socket.settimeout(5)
        self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        if first:
            self.info = json.loads(self.line()[5:])


def tls_part(info):
    return {key: value for key, value in info.items() if key.startswith("tls")}


@pytest.fixture
def both(servers):
    """The same configuration for petiole and for nats-server."""
    return lambda config: [servers(binary, name, config=config).start() for binary, name in ((PETIOLE, "ours"), (NATS_SERVER, "theirs"))]


@pytest.mark.parametrize(
    "config, first",
    [
        ("tls {{ {server} }}", False),
        ("tls {{ {server} verify: true }}", False),
        ("tls {{ {server} }}\nallow_non_tls: true", False),
        ("tls {{ {server} handshake_first: true }}", True),
        ("tls {{ {server} handshake_first: auto }}", False),
        ("tls {{ {server} handshake_first: \"60ms\" }}", True),
    ],
)
def test_info_and_monitoring_say_of_tls_what_nats_server_says(both, certificates, config, first):
    said = []
    for server in both(config.format(server=certificates.files("server", "ca"))):
        with SecureClient(server.port, context(certificates, certificate="client"), first) as raw:
            raw.connect(protocol=0)
            raw.send("PING\r\n")
            raw.expect("PONG\r\n")
            [connection] = server.json("/connz?auth=1")["connections"]
            assert "tls_peer_certs" not in server.json("/connz")["connections"][0]
            varz = server.json("/varz")
        said.append((tls_part(raw.info), tls_part(connection), tls_part(varz)))
    ours, theirs = said
    assert ours[0] == theirs[0]
    # nats-server's cipher is Go's choice.
    cipher = "tls_cipher_suite"
    assert (cipher in ours[1]) == (cipher in theirs[1])
    assert {**ours[1], cipher: ""} == {**theirs[1], cipher: ""}
    assert {**ours[2], "tls_cert_not_after": 0} == {**theirs[2], "tls_cert_not_after": 0}


@pytest.mark.smoke
@pytest.mark.parametrize("certificate", ["server", "server-rsa"])
async def test_a_client_upgrades_and_everything_works(petiole, client, certificates, certificate):
    server = petiole(f"tls {{ {certificates.files(certificate)} }}")
    nc = await client(server, tls=context(certificates))
    subscription = await nc.subscribe("a.>")
    for size in (0, 1, 16_384, 1_000_000):
        await nc.publish("a.b", bytes(size))
        message = await subscription.next_msg(10)
        assert len(message.data) == size

    async def answer(message):
        await message.respond(b"yes")

    await nc.subscribe("service", cb=answer)
    assert (await nc.request("service", b"?", timeout=5)).data == b"yes"


async def test_clients_that_begin_with_tls(petiole, client, certificates):
    server = petiole(f"tls {{ {certificates.files('server')} handshake_first: true }}")
    nc = await client(server, tls=context(certificates), tls_handshake_first=True)
    assert (await nc.rtt()) > 0 if hasattr(nc, "rtt") else True
    await nc.flush()
    # Who waits for INFO gets none, and is let go when the time for the handshake is over.
    with socket.create_connection(("127.0.0.1", server.port), 5) as plain:
        plain.settimeout(5)
        assert plain.recv(100) == b""
    until(lambda: "TLS handshake error: the TLS handshake was not done in time" in server.log(), 5, "the log line")


async def test_with_auto_both_kinds_of_clients_are_served(petiole, client, certificates):
    server = petiole(f"tls {{ {certificates.files('server')} handshake_first: auto }}")
    for first in (True, False):
        nc = await client(server, tls=context(certificates), tls_handshake_first=first)
        await nc.flush()


async def test_clients_must_show_a_certificate_of_the_authority(petiole, client, certificates):
    server = petiole(f"tls {{ {certificates.files('server', 'ca')} verify: true }}")
    nc = await client(server, tls=context(certificates, certificate="client"))
    await nc.flush()
    for certificate in (None, "other-client"):
        with pytest.raises((nats.errors.Error, OSError, asyncio.TimeoutError)):
            nc = await client(server, tls=context(certificates, certificate=certificate), connect_timeout=2, allow_reconnect=False)
            await nc.flush(timeout=2)
    until(lambda: "TLS handshake error: the other side showed no certificate" in server.log(), 5, "the log line of the one without")
    until(lambda: "signed by an unknown authority, \"CN=other-ca,O=Example\"" in server.log(), 5, "the log line of the stranger")


async def test_only_pinned_clients_are_served(petiole, client, certificates):
    config = f"tls {{ {certificates.files('server', 'ca')} verify: true, pinned_certs: [\"%s\"] }}"
    server = petiole(config % ("0" * 64))
    with pytest.raises((nats.errors.Error, OSError, asyncio.TimeoutError)):
        nc = await client(server, tls=context(certificates, certificate="client"), connect_timeout=2, allow_reconnect=False)
        await nc.flush(timeout=2)
    until(lambda: "is none of pinned_certs" in server.log(), 5, "the log line")
    pin = re.search(r"its SHA-256 is ([0-9a-f]{64})", server.log())[1]
    pinned = petiole(config % pin, name="pinned")
    await (await client(pinned, tls=context(certificates, certificate="client"))).flush()


def test_a_client_that_does_not_trust_us_is_told_apart(petiole, certificates):
    server = petiole(f"tls {{ {certificates.files('server')} }}")
    with pytest.raises(ssl.SSLError):
        SecureClient(server.port, context(certificates, authority="other-ca"))
    until(lambda: "it does not know the authority of our certificate" in server.log(), 5, "the log line")


def test_a_plain_client_is_not_served_where_tls_is_required(petiole, certificates):
    server = petiole(f"tls {{ {certificates.files('server')} }}")
    with RawClient(server.port) as raw:
        assert raw.info["tls_required"] is True
        raw.send("CONNECT {}\r\nPING\r\n")
        # A TLS alert, and nothing of the protocol.
        assert b"PONG" not in raw.read_until_closed()
    until(lambda: "TLS handshake error: the client does not speak TLS, which is required here" in server.log(), 5, "the log line")


async def test_with_allow_non_tls_both_are_served(petiole, client, certificates):
    server = petiole(f"tls {{ {certificates.files('server')} }}\nallow_non_tls: true")
    with RawClient(server.port) as raw:
        assert tls_part(raw.info) == {"tls_available": True}
        raw.connect()
    with SecureClient(server.port, context(certificates)) as raw:
        raw.connect()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken_and_1_3_alone_on_demand(petiole, certificates, version):
    server = petiole(f"tls {{ {certificates.files('server')} cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384] }}")
    with SecureClient(server.port, context(certificates, version=version)) as raw:
        assert raw.connect() and raw.socket.version() == version.name.replace("_", ".")
        if version == ssl.TLSVersion.TLSv1_2:
            assert raw.socket.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    strict = petiole(f"tls {{ {certificates.files('server')} min_version: \"1.3\" }}", name="strict")
    if version == ssl.TLSVersion.TLSv1_2:
        with pytest.raises(ssl.SSLError):
            SecureClient(strict.port, context(certificates, version=version))


def test_nobody_renegotiates(petiole, certificates):
    server = petiole(f"tls {{ {certificates.files('server')} handshake_first: true }}")
    openssl = shutil.which("openssl")
    assert openssl, "the openssl command is missing: packaging/setup-build.sh python"
    asked = subprocess.run(
        [openssl, "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-CAfile", certificates.path("ca.pem")],
        input="R\n", capture_output=True, text=True, timeout=20,
    )
    assert "INFO {" in asked.stdout
    assert "RENEGOTIATING" in asked.stdout + asked.stderr
    assert "no renegotiation" in asked.stderr


async def test_a_reload_takes_a_new_certificate_and_keeps_connections(petiole, client, certificates, tmp_path):
    for kind in ("pem", "key"):
        shutil.copy(certificates.path(f"server.{kind}"), tmp_path / f"own.{kind}")
    server = petiole(f'tls {{ cert_file: "{tmp_path}/own.pem", key_file: "{tmp_path}/own.key" }}')
    nc = await client(server, tls=context(certificates))

    def shown():
        with SecureClient(server.port, context(certificates)) as raw:
            return dict(part[0] for part in raw.socket.getpeercert()["subject"])["commonName"]

    assert shown() == "server"
    shutil.copy(certificates.path("server-2.key"), tmp_path / "own.key")
    server.signal(signal.SIGHUP)
    until(lambda: "is not that of the certificate" in server.log(), 10, "the refusal of a key that does not match")
    assert shown() == "server"
    shutil.copy(certificates.path("server-2.pem"), tmp_path / "own.pem")
    server.signal(signal.SIGHUP)
    until(lambda: shown() == "server-2", 10, "the new certificate")
    await nc.flush()


def test_monitoring_by_https_and_status(petiole, certificates):
    server = petiole(f"tls {{ {certificates.files('server')} }}")
    path = server.directory / "server.conf"
    server.stop()
    path.write_text(path.read_text().replace("http:", "https:"))
    text = path.read_text()
    server.config_text = lambda: text
    server.start()
    url = f"https://127.0.0.1:{server.monitor_port}/varz"
    with urllib.request.urlopen(url, timeout=10, context=context(certificates)) as response:
        varz = json.loads(response.read())
    assert varz["https_port"] == server.monitor_port and varz["http_port"] == 0
    status = subprocess.run([*RUNNER, PETIOLE, "status", "-c", str(path), "-ms", str(server.monitor_port)], capture_output=True, text=True, timeout=30)
    assert status.returncode == 0 and "clients 0" in status.stdout, status.stderr


@pytest.mark.parametrize(
    "change, says",
    [
        (("server.key", "client.key"), "is not that of the certificate in cert_file"),
        (("server.pem", "missing.pem"), "missing.pem\" cannot be read: not found"),
        (("server.pem", "server.key"), "holds no certificate in PEM form"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_the_place(agent, certificates, change, says):
    server = agent("tls {\n" + certificates.files("server").replace(*change) + "}")
    path = server.directory / "server.conf"
    path.write_text(server.config_text())
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("tls"))
    for command in (["check"], []):
        ended = subprocess.run([*RUNNER, PETIOLE, *command, "-c", str(path)], capture_output=True, text=True, timeout=30)
        assert ended.returncode == 1
        assert f"server.conf:{line}:" in ended.stderr and says in ended.stderr, ended.stderr


def test_the_flags_of_nats_server(agent, certificates):
    flags = ["--tls", f"--tlscert={certificates.path('server.pem')}", f"--tlskey={certificates.path('server.key')}", "--tlsverify"]
    server = agent(flags=[*flags, f"--tlscacert={certificates.path('ca.pem')}"]).start()
    with SecureClient(server.port, context(certificates, certificate="client")) as raw:
        assert tls_part(raw.info) == {"tls_required": True, "tls_verify": True}
        raw.connect()
