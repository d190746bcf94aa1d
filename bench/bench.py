#!/usr/bin/env python3
"""Petiole beside nats-server on this machine, in one run: ratios, and whether each goal is met.

Both servers take turns, several rounds, and the median counts; so a busy machine widens the spread but does not favour one.
CPU is the server process's own time (user and system), from its CPU clock. The load comes from bench/load.c, whose own CPU
time is printed too: the generator is not the bottleneck as long as it uses less of the run's time than there is.
"""

import argparse
import asyncio
import dataclasses
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "Tests/Interop"))

import nats  # noqa: E402
from servers import NATS_SERVER, Server, until  # noqa: E402

WORK = REPOSITORY / ".build-bench"
LOAD = WORK / "load"


def cpu_seconds(pid):
    """The process's CPU clock: Linux names it by the complement of its id (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def proc_value(pid, file, key):
    text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
    return int(re.search(rf"^{key}:\s*(\d+)", text, re.M)[1])


def load(*arguments):
    done = subprocess.run([str(LOAD), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: load {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    if result["errors"]:
        raise SystemExit(f"bench: load {' '.join(map(str, arguments))}: {result['errors']} errors of {result['messages']}")
    return result


@dataclasses.dataclass
class Sample:
    """One measured run of one server."""

    cpu_us: float  # of the server, per message
    rate: float  # messages a second
    load_share: float  # CPU time of the generator as a share of the run
    written_bytes: float = 0.0  # to storage, per message
    syncs: float = 0.0  # fsync and fdatasync calls, per message


class Bench:
    def __init__(self, petiole, quick):
        self.binaries = {"petiole": str(pathlib.Path(petiole).resolve()), "nats-server": NATS_SERVER}
        self.scale = 0.2 if quick else 1
        self.rounds = 1 if quick else 5
        self.serial = 0
        self.running = []

    def server(self, which, name=None, **options):
        """Starts a server with a directory of its own on this disk (not in memory: syncs must be real)."""
        self.serial += 1
        server = Server(self.binaries[which], WORK / f"run/{self.serial}", name or which, **options)
        self.running.append(server)
        return server.start()

    def stop_all(self):
        for server in self.running:
            if server.running():
                server.kill()
        self.running = []
        shutil.rmtree(WORK / "run", ignore_errors=True)

    def count(self, messages):
        return int(messages * self.scale)

    def measured(self, server, *arguments):
        before, written = cpu_seconds(server.pid), proc_value(server.pid, "io", "write_bytes")
        result = load(*arguments)
        count = result["messages"]
        return Sample(
            cpu_us=(cpu_seconds(server.pid) - before) / count * 1e6,
            rate=count / result["seconds"],
            load_share=result["load_cpu_seconds"] / result["seconds"],
            written_bytes=(proc_value(server.pid, "io", "write_bytes") - written) / count,
        )

    # The cases. Each takes the name of a server and gives a sample.

    def fan(self, which):
        server = self.server(which)
        return self.measured(server, "fan", server.port, server.port, self.count(5_000_000), 16)

    def request(self, window, messages):
        def run(which):
            server = self.server(which)
            return self.measured(server, "request", server.port, server.port, self.count(messages), 16, window)

        return run

    def publish(self, jetstream, messages):
        def run(which):
            server = self.server(which, jetstream=jetstream)
            asyncio.run(make_stream(server))
            return self.measured(server, "publish", server.port, "-", self.count(messages), 128, 1000, "bench.js")

        return run

    def leaf(self, mode):
        def run(which):
            hub = self.server("nats-server", name="hub", leaf=True)
            edge = self.server(which, config=remote(hub, mode))
            until(lambda: hub.json("/leafz")["leafnodes"] == 1, 20, "the leaf link")
            return self.measured(edge, "fan", edge.port, hub.port, self.count(2_000_000), 128)

        return run

    def idle_rss(self, which):
        """Resident kilobytes with JetStream on and a linked uplink, a while after the last thing happened."""
        hub = self.server("nats-server", name="hub", leaf=True)
        uplink = f'uplink {{ clusters: [ {{ name: hub, urls: ["{hub.leaf_url}"] }} ] }}' if self.is_petiole(which) else remote(hub, "off")
        edge = self.server(which, jetstream="domain: edge", config=uplink)
        until(lambda: hub.json("/leafz")["leafnodes"] == 1, 20, "the leaf link")
        time.sleep(10)  # both have settled by then, whatever they still did after the start
        return proc_value(edge.pid, "status", "VmRSS")

    def is_petiole(self, which):
        return pathlib.Path(self.binaries[which]).name != "nats-server"

    def syncs_per_publish(self, jetstream):
        """Counted by strace, in runs of their own, which it slows down."""

        def run(which):
            server = self.server(which, jetstream=jetstream)
            asyncio.run(make_stream(server))
            report = WORK / "strace"
            tracer = subprocess.Popen(
                ["strace", "-f", "-q", "-c", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", str(report), "-p", str(server.pid)],
                stderr=subprocess.DEVNULL,
            )
            until(lambda: proc_value(server.pid, "status", "TracerPid") == tracer.pid, 10, "strace")
            count = load("publish", server.port, "-", self.count(20_000), 128, 1000, "bench.js")["messages"]
            tracer.terminate()
            tracer.wait(10)
            calls = sum(int(match[1]) for match in re.finditer(r"^\s*\S+\s+\S+\s+\S+\s+(\d+)\s.*sync", report.read_text(), re.M))
            return calls / count

        return run

    def compare(self, case=None, **cases):
        """Medians over rounds in which the cases take turns: of one case for both servers, or of several labelled (server, case)."""
        cases = cases or {which: (which, case) for which in self.binaries}
        samples = {label: [] for label in cases}
        for turn in range(self.rounds):
            for label in list(cases) if turn % 2 == 0 else reversed(cases):
                which, run = cases[label]
                samples[label].append(run(which))
                self.stop_all()
        return {label: median(taken) for label, taken in samples.items()}


def median(samples):
    if not isinstance(samples[0], Sample):
        return statistics.median(samples)
    return Sample(*(statistics.median(column) for column in zip(*map(dataclasses.astuple, samples))))


def remote(hub, mode):
    return f'leafnodes {{ remotes: [ {{ url: "{hub.leaf_url}", compression: {mode} }} ] }}'


async def make_stream(server):
    nc = await nats.connect(server.url)
    await nc.jetstream().add_stream(name="BENCH", subjects=["bench.js"])
    await nc.close()


@dataclasses.dataclass
class Row:
    what: str
    unit: str
    ours: float
    theirs: float
    goal: float | None  # of the ratio ours/theirs; or of ours itself when `absolute`
    more_is_better: bool = False
    absolute: bool = False
    note: str = ""

    @property
    def ratio(self):
        return self.ours / self.theirs if self.theirs else None

    @property
    def met(self):
        if self.goal is None:
            return None
        value = self.ours if self.absolute else self.ratio
        return value >= self.goal if self.more_is_better else value <= self.goal

    def goal_text(self):
        if self.goal is None:
            return ""
        sign = ">=" if self.more_is_better else "<="
        return f"{sign} {number(self.goal)} {self.unit}" if self.absolute else f"{sign} {self.goal:g}x"


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def rows(bench):
    """Measures and yields one row after the other."""
    sizes = {which: pathlib.Path(path).stat().st_size / 1e6 for which, path in bench.binaries.items()}
    yield Row("binary, static", "MB", sizes["petiole"], sizes["nats-server"], 1.5, absolute=True)

    rss = bench.compare(bench.idle_rss)
    yield Row("idle RSS, JetStream on, leaf link up", "MB", rss["petiole"] / 1024, rss["nats-server"] / 1024, 2, absolute=True)

    fan = bench.compare(bench.fan)
    ours, theirs = fan["petiole"], fan["nats-server"]
    # A message in and a message out are two for the server.
    note = load_note(ours)
    yield Row("CPU per message in or out, 1 to 1, 16 B", "us", ours.cpu_us / 2, theirs.cpu_us / 2, 0.35, note=note)
    yield Row("throughput, 1 to 1, 16 B", "msg/s", ours.rate, theirs.rate, 2, more_is_better=True, note=note)

    for window, count in ((1, 50_000), (16, 200_000)):
        pair = bench.compare(bench.request(window, count))
        what = "CPU per request-reply, one at a time" if window == 1 else f"CPU per request-reply, {window} at a time"
        yield Row(what, "us", pair["petiole"].cpu_us, pair["nats-server"].cpu_us, 0.6, note=load_note(pair["petiole"]))

    always, default = "sync_interval: always", True
    publish = bench.compare(
        ours=("petiole", bench.publish(default, 2_000_000)),
        synced=("nats-server", bench.publish(always, 50_000)),
        unsynced=("nats-server", bench.publish(default, 500_000)),
    )
    ours, synced, unsynced = publish["ours"], publish["synced"], publish["unsynced"]
    what, note = "acked on disk, 128 B, 1000 in flight", load_note(ours)
    yield Row(f"{what} (theirs: sync always)", "msg/s", ours.rate, synced.rate, 10, more_is_better=True, note=note)
    yield Row(f"{what} (theirs: no sync)", "msg/s", ours.rate, unsynced.rate, 0.8, more_is_better=True, note=note)
    yield Row("CPU per acked publish (theirs: no sync)", "us", ours.cpu_us, unsynced.cpu_us, None)
    yield Row("bytes to storage per message (theirs: sync always)", "B", ours.written_bytes, synced.written_bytes, 200, absolute=True)
    if shutil.which("strace"):
        syncs = bench.compare(
            ours=("petiole", bench.syncs_per_publish(default)), theirs=("nats-server", bench.syncs_per_publish(always))
        )
        yield Row("syncs per 1000 messages (theirs: sync always)", "", syncs["ours"] * 1000, syncs["theirs"] * 1000, None)

    for mode in ("off", "s2_fast"):
        pair = bench.compare(bench.leaf(mode))
        yield Row(f"edge to hub, 128 B JSON, {mode}: CPU per message", "us", pair["petiole"].cpu_us, pair["nats-server"].cpu_us, 0.6,
                  note=load_note(pair["petiole"]))  # fmt: skip


def load_note(sample):
    return f"load generator {sample.load_share:.0%} of one CPU"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--petiole", default=str(REPOSITORY / "dist/amd64/petiole"), help="the binary to compare")
    parser.add_argument("--quick", action="store_true", help="one round, a fifth of the messages: for a look, not for a claim")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    options = parser.parse_args()

    WORK.mkdir(exist_ok=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(LOAD), str(REPOSITORY / "bench/load.c")], check=True)
    bench = Bench(options.petiole, options.quick)
    done = []
    print(f"{'':64} {'petiole':>11} {'nats-server':>12} {'ratio':>7}  goal")
    try:
        for row in rows(bench):
            done.append(row)
            ratio = f"{row.ratio:.2f}x" if row.ratio is not None else ""
            met = {None: "", True: "met", False: "MISSED"}[row.met]
            what = f"{row.what} [{row.unit}]" if row.unit else row.what
            print(f"{what:64} {number(row.ours):>11} {number(row.theirs):>12} {ratio:>7}  {row.goal_text():14} {met:7}{row.note}", flush=True)
    finally:
        bench.stop_all()
    if options.json:
        results = [{**dataclasses.asdict(row), "ratio": row.ratio, "met": row.met} for row in done]
        pathlib.Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
