"""Servers that take turns, and what is measured of each run. What the runs are is in the topics."""

import asyncio
import dataclasses
import json
import pathlib
import shutil
import socket
import statistics
import sys
import time

import nats

import process
from servers import NATS_SERVER, Server

ALWAYS, DEFAULT = "sync_interval: always", True


@dataclasses.dataclass
class Side:
    """One column: a server and how its JetStream is configured."""

    name: str
    binary: str
    jetstream: str | bool
    is_petiole: bool = False


@dataclasses.dataclass
class Sample:
    """One measured run of one server."""

    cpu_us: float  # of the server, per message
    rate: float  # messages a second
    load_share: float  # CPU time of the generator as a share of the run
    written_bytes: float = 0.0  # to storage, per message


class Rig:
    def __init__(self, petiole, work, quick):
        path = str(pathlib.Path(petiole).resolve())
        # A nats-server in petiole's place checks the bench itself.
        self.sides = {
            "petiole": Side("petiole", path, DEFAULT, pathlib.Path(path).name != "nats-server"),
            "synced": Side("synced", NATS_SERVER, ALWAYS),
            "default": Side("default", NATS_SERVER, DEFAULT),
        }
        self.work = work
        self.load_binary = work / "load"
        self.quick = quick
        self.rounds = 1 if quick else 3
        # Of each run that takes a time and not a number of messages.
        self.seconds = 0.5 if quick else 1.5
        self.serial = 0
        self.running = []
        self.progress = lambda text: None

    def count(self, messages):
        return messages // 5 if self.quick else messages

    # Servers

    def server(self, side, name=None, **options):
        """Starts a server with a directory of its own on this disk (not in memory: syncs must be real)."""
        self.serial += 1
        options.setdefault("jetstream", False)
        server = Server(side.binary, self.work / f"run/{self.serial}", name or side.name, **options)
        self.running.append(server)
        return server.start()

    def hub(self):
        return self.server(self.sides["default"], name="hub", leaf=True)

    def stop_all(self):
        for server in self.running:
            if server.running():
                server.kill()
        self.running = []
        shutil.rmtree(self.work / "run", ignore_errors=True)

    def restarted(self, server, jetstream):
        """Ends a server cleanly and starts it again on what it has, perhaps with another durability."""
        server.stop()
        server.jetstream = jetstream
        return server.start()

    # Runs

    def load(self, *arguments):
        return process.run_load(self.load_binary, *arguments)

    def publish(self, server, subject, subjects=1, size=128, window=1000, count=10**9, seconds=0.0):
        return self.load("publish", server.port, count, seconds, size, window, subject, subjects)

    def fill(self, server, subject, subjects, count, size=128):
        result = self.publish(server, subject, subjects, size, count=count)
        assert result["messages"] == count, result

    def measured(self, server, run):
        """What `run` (which gives the load generator's result) costs the server."""
        before, written = process.cpu_seconds(server.pid), process.proc_value(server.pid, "io", "write_bytes")
        result = run()
        cpu, count = process.cpu_seconds(server.pid) - before, result["messages"]
        return Sample(
            cpu_us=cpu / count * 1e6,
            rate=count / result["seconds"],
            load_share=result["load_cpu_seconds"] / result["seconds"],
            written_bytes=(process.proc_value(server.pid, "io", "write_bytes") - written) / count,
        )

    def compare(self, what, run, sides=("petiole", "default"), rounds=None):
        """{side: median} of `run(side)` over rounds in which the sides take turns: a busy machine widens the spread but favours nobody."""
        samples = {side: [] for side in sides}
        rounds = rounds or self.rounds
        for turn in range(rounds):
            for side in sides if turn % 2 == 0 else reversed(sides):
                self.progress(f"{what}: round {turn + 1} of {rounds}, {side}")
                samples[side].append(run(self.sides[side]))
                self.stop_all()
        return {side: median(taken) for side, taken in samples.items()}


def median(samples):
    first = samples[0]
    if isinstance(first, Sample):
        return Sample(*median([dataclasses.astuple(sample) for sample in samples]))
    if isinstance(first, tuple):
        return tuple(statistics.median(column) for column in zip(*samples, strict=True))
    return statistics.median(samples)


def column(samples, field):
    """One field of each side's sample."""
    return {side: getattr(sample, field) for side, sample in samples.items()}


def request(server, subject, payload=b""):
    """The answer of one of the server's own services."""

    async def ask():
        nc = await nats.connect(server.url)
        answer = json.loads((await nc.request(subject, payload, timeout=20)).data)
        assert "error" not in answer, answer
        await nc.close()
        return answer

    return asyncio.run(ask())


def make_stream(server, **config):
    request(server, f"$JS.API.STREAM.CREATE.{config['name']}", json.dumps(config).encode())


def make_bench_stream(server, subjects="bench.js"):
    make_stream(server, name="BENCH", subjects=[subjects])


def stored(port, stream):
    """How many messages the server says the stream has; None when it does not say so (yet)."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as raw:
            raw.settimeout(2)
            raw.sendall(f'CONNECT {{"verbose":false}}\r\nSUB _INBOX.i 1\r\nPUB $JS.API.STREAM.INFO.{stream} _INBOX.i 0\r\n\r\nPING\r\n'.encode())
            text, deadline = b"", time.monotonic() + 2
            while b"MSG " not in text or not text.rstrip().endswith((b"}", b"PONG")):
                piece = raw.recv(65536)
                if not piece or time.monotonic() > deadline:
                    return None
                text += piece
    except OSError:
        return None
    start, end = text.find(b"{", text.find(b"MSG ")), text.rfind(b"}")
    try:
        return json.loads(text[start : end + 1])["state"]["messages"]
    except (ValueError, KeyError):
        return None


def say(text):
    """Progress, on a terminal only: one line that the next one replaces."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}" if text else "\r\x1b[K")
        sys.stderr.flush()
