"""How clients' test suites start a server: long flags over a file, hosts of both families, the lines that they wait for, and the errors
that they look for. The same command lines for the agent and for a real nats-server.
"""

import json
import re
import socket
import subprocess

import nats
import pytest

from servers import NATS_SERVER, PETIOLE, RUNNER, START_SECONDS_MAX, free_port
from waiting import until


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


class Started:
    """A server started by flags alone, as far as its standard error tells of it."""

    def __init__(self, command, flags, directory):
        directory.mkdir(exist_ok=True)
        self.process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=directory)
        self.listening = {}
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            found = re.search(r"\[INF\] Listening for (client connections|websocket clients) on (.*):(\d+)$", line)
            if found:
                self.listening[found[1]] = (found[2], int(found[3]))
            if "[INF] Server is ready" in line:
                break

    @property
    def port(self):
        return self.listening["client connections"][1]

    def info(self, host):
        with socket.create_connection((host, self.port), 5) as client:
            return json.loads(client.makefile("rb").readline()[5:])

    def stop(self):
        self.process.terminate()
        return self.process.wait(20)


COMMANDS = {"ours": [*RUNNER, PETIOLE], "real": [NATS_SERVER]}


@pytest.fixture
def start(tmp_path):
    """start(name, *flags) starts the one or the other and waits until it is ready, or has ended."""
    made = []

    def begin(name, *flags):
        made.append(Started(COMMANDS[name], flags, tmp_path / name))
        return made[-1]

    yield begin
    for server in made:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)
        server.process.stderr.close()


@pytest.mark.parametrize("addr, clients", [(None, ["127.0.0.1", *(["::1"] if has_ipv6() else [])]), ("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])])
def test_hosts_of_both_families_are_logged_and_told(start, addr, clients):
    if ":" in (addr or "") and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    seen = []
    for name in COMMANDS:
        server = start(name, *(["--addr", addr] if addr else []), "--port", "-1")
        infos = [server.info(host) for host in clients]
        assert {info["port"] for info in infos} == {server.port}
        seen.append((server.listening["client connections"][0], [info["host"] for info in infos], [info["client_ip"] for info in infos]))
        assert server.stop() in (0, 1)
    assert seen[0] == seen[1]


async def test_long_flags_win_over_a_file_in_json(start, tmp_path):
    path = tmp_path / "as.json"
    path.write_text('{\n  "port": 4567,\n  "server_name": "by-file",\n  "max_payload": 2000,\n  "websocket": { "port": -1, "no_tls": true }\n}\n')
    seen = []
    for name in COMMANDS:
        store = tmp_path / f"store-{name}"
        flags = ("--port", "-1", "--debug", "--jetstream", "--store_dir", str(store), "--config", str(path), "--server_name", "by-flag")
        server = start(name, *flags)
        info = server.info("127.0.0.1")
        nc = await nats.connect(f"nats://127.0.0.1:{server.port}")
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        seen.append((info["server_name"], info["jetstream"], info["max_payload"], server.port != 4567, sorted(server.listening), (await js.publish("s")).seq))
        await nc.close()
        web = await nats.connect(f"ws://127.0.0.1:{server.listening['websocket clients'][1]}")
        await web.flush()
        await web.close()
        assert any(store.iterdir())
    assert seen[0] == seen[1]


def test_a_store_without_jetstream_is_left_alone(start, tmp_path):
    for name in COMMANDS:
        server = start(name, "--port", "-1", "--store_dir", str(tmp_path / f"none-{name}"))
        assert "jetstream" not in server.info("127.0.0.1")
        assert not (tmp_path / f"none-{name}").exists()


def test_what_stops_a_start_is_said_in_words_that_are_looked_for(start, tmp_path):
    file, bad = tmp_path / "a-file", tmp_path / "bad.conf"
    file.write_text("not a directory")
    bad.write_text('{\n  "port": : "x"\n}\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cases = {
            r"\[FTL\] (?=.*port).*address already in use": ["--addr", "127.0.0.1", "--port", str(taken.getsockname()[1])],
            r"\[FTL\] .*999\.999\.999\.999": ["--addr", "999.999.999.999", "--port", "-1"],
            r"\[FTL\].*storage directory is not a directory": ["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir", str(file)],
            r"Parse error": ["--config", str(bad)],
        }
        for words, flags in cases.items():
            for name in COMMANDS:
                server = start(name, *flags)
                assert server.process.wait(START_SECONDS_MAX) == 1, name
                assert re.search(words, "\n".join(server.lines)), (name, server.lines)


async def test_a_client_comes_back_over_ipv6(start, tmp_path):
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    flags = ("--addr", "::1", "--port", str(free_port()))
    server = start("ours", *flags)
    nc = await nats.connect(f"nats://[::1]:{server.port}", reconnect_time_wait=0.05)
    subscription = await nc.subscribe("a")
    await nc.flush()
    server.process.kill()
    server.process.wait(10)
    await until(lambda: not nc.is_connected, 10, "the client has noticed")
    again = start("ours", *flags)
    assert again.port == server.port
    await nc.publish("a", b"after")
    assert (await subscription.next_msg(10)).data == b"after"
    await nc.close()
