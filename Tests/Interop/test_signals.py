"""Signals: a clean stop, reload, lame duck; and what a kill leaves behind."""

import json
import signal

import pytest

from rawclient import RawClient
from servers import until

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_closes_clients_without_a_word_and_exits_zero(petiole, number):
    server = petiole(jetstream=True)
    with RawClient(server.port) as raw:
        raw.connect()
        server.signal(number)
        assert raw.read_until_closed(10) == b""
    assert server.wait() == 0
    assert "Initiating Shutdown..." in server.log() and "Server Exiting.." in server.log()


def test_lame_duck_tells_clients_and_ends(petiole):
    server = petiole('lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"\n')
    with RawClient(server.port) as raw:
        raw.connect(protocol=1)
        server.signal(signal.SIGUSR2)
        assert json.loads(raw.line()[5:])["ldm"] is True
        raw.read_until_closed(15)
    assert server.wait(15) == 0


def test_the_port_is_free_again_at_once_after_a_kill(petiole):
    server = petiole()
    port = server.port
    with RawClient(port) as raw:
        raw.connect()
        server.kill()
        server.start()
    assert server.port == port


def test_hup_reloads_and_a_broken_file_changes_nothing(petiole):
    server = petiole("max_payload: 1000\n")
    path = server.directory / "server.conf"
    path.write_text(path.read_text().replace("max_payload: 1000", "max_payload: 2000"))
    server.signal(signal.SIGHUP)

    def limit():
        with RawClient(server.port) as raw:
            return raw.info["max_payload"]

    until(lambda: limit() == 2000, 10, "the new limit")
    path.write_text("max_payload: {{{\n")
    server.signal(signal.SIGHUP)
    until(lambda: "ERR" in server.log(), 10, "an error in the log")
    assert limit() == 2000
