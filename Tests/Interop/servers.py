"""Starting, watching and ending the two servers under test: petiole and the real nats-server.

Environment: PETIOLE_BIN (the binary; a nats-server's path works too, which is how these tests are checked themselves),
PETIOLE_RUNNER (a command to run it with, such as qemu-aarch64-static).
"""

import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "demo"))
from ports import free_port  # noqa: E402
PETIOLE = os.environ.get("PETIOLE_BIN", str(REPOSITORY / "dist/amd64/petiole"))
RUNNER = shlex.split(os.environ.get("PETIOLE_RUNNER", ""))
NATS_SERVER = str(pathlib.Path(sys.executable).parent / "nats-server")
IS_NATS_SERVER = pathlib.Path(PETIOLE).name == "nats-server"
# An emulated binary on a loaded two-core machine is slow to start; a healthy one takes milliseconds.
START_SECONDS_MAX = 40 if RUNNER else 15


def until(condition, seconds=10, what="condition", every=0.02):
    """The first true value of condition(); fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


class Server:
    """One server process with a directory of its own. Ports are picked by the server once and kept over restarts."""

    def __init__(self, binary, directory, name, config="", jetstream=False, leaf=False, websocket=None, runner=(), flags=()):
        self.command = [*runner, binary]
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.config = config
        self.jetstream = jetstream
        self.flags = list(flags)
        # None, or what else the block says beside where to listen.
        self.websocket = websocket
        self.port = self.monitor_port = self.websocket_port = -1
        # nats-server's ports file does not name its leaf listener. A text is more of the block.
        self.leaf = leaf
        self.leaf_port = free_port() if leaf else None
        self.process = None
        self.log_path = self.directory / "log"

    @property
    def store_dir(self):
        return self.directory / "store"

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    @property
    def leaf_url(self):
        return f"nats-leaf://127.0.0.1:{self.leaf_port}"

    @property
    def websocket_url(self):
        return f"{'wss' if 'tls {' in self.websocket else 'ws'}://127.0.0.1:{self.websocket_port}"

    @property
    def pid(self):
        return self.process.pid

    def config_text(self):
        lines = [
            f"server_name: {self.name}",
            "host: 127.0.0.1",
            f"port: {self.port}",
            f'http: "127.0.0.1:{self.monitor_port}"',
            f'ports_file_dir: "{self.directory}"',
        ]
        if self.jetstream:
            extra = self.jetstream if isinstance(self.jetstream, str) else ""
            lines.append(f'jetstream {{\n  store_dir: "{self.store_dir}"\n  {extra}\n}}')
        if self.leaf_port is not None:
            extra = self.leaf if isinstance(self.leaf, str) else ""
            lines.append(f'leafnodes {{\n  host: 127.0.0.1\n  port: {self.leaf_port}\n  {extra}\n}}')
        if self.websocket is not None:
            tls = "" if "tls {" in self.websocket else "no_tls: true"
            lines.append(f'websocket {{\n  host: 127.0.0.1\n  port: {self.websocket_port}\n  {tls}\n  {self.websocket}\n}}')
        return "\n".join(lines) + "\n" + self.config + "\n"

    def spawn(self):
        """Starts the process without waiting for it to be ready."""
        path = self.directory / "server.conf"
        path.write_text(self.config_text())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "-c", str(path), *self.flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory
            )
        return self

    def start(self):
        for old in self.directory.glob("*.ports"):
            old.unlink()
        self.spawn()
        ports = until(self._read_ports, START_SECONDS_MAX, f"{self.name} has written its ports file\n{self.log()}")
        self.port = self._port_of(ports, "nats")
        self.monitor_port = self._port_of(ports, "monitoring")
        if self.websocket is not None:
            self.websocket_port = self._port_of(ports, "websocket")
        until(self._accepts, START_SECONDS_MAX, f"{self.name} accepts connections")
        return self

    def _read_ports(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with status {self.process.returncode}:\n{self.log()}")
        for path in self.directory.glob(f"*_{self.pid}.ports"):
            try:
                return json.loads(path.read_text())
            except ValueError:
                return None  # still being written
        return None

    @staticmethod
    def _port_of(ports, key):
        return int(ports[key][0].rsplit(":", 1)[1].rstrip("/"))

    def _accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """The power goes away."""
        if self.running():
            self.signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, seconds=20):
        """A clean stop; returns the exit status."""
        if self.running():
            self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def wait(self, seconds=10):
        """Waits for the process to end by itself; returns its status."""
        return self.process.wait(seconds)

    def get(self, path):
        """(status, text) of a monitoring page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def json(self, path):
        status, text = self.get(path)
        assert status == 200, f"{path}: {status} {text}"
        return json.loads(text)
