#!/usr/bin/env python3
"""The main job of Petiole on real parts: buffer while offline, deliver to the nearest cluster of a real NATS backbone.

Starts a super-cluster of three nats-servers at three distances, one agent, and devices that publish to it; takes the ways away, kills the
agent, brings the ways back; then compares what the devices had acknowledged with what the hub's stream holds. Exits non-zero when a
reading is lost, there twice, or out of order.
"""

import argparse
import asyncio
import atexit
import contextlib
import dataclasses
import importlib.util
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from processes import Trouble
from table import Table, number, size

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SAMPLE_SECONDS = 0.25
LINK_SECONDS_MAX = 20
MOVE_SECONDS_MAX = 40
DRAIN_SECONDS_MAX = 30
LOG_LINES_AGENT = 40
LOG_LINES_SERVER = 5


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of each part, and readings a second."""

    flowing: float
    offline: float
    dead: float
    offline_again: float
    middle: float
    nearest: float
    per_second: int


FULL = Timing(flowing=8, offline=10, dead=1.5, offline_again=10, middle=5, nearest=5, per_second=400)
QUICK = Timing(flowing=2, offline=3, dead=0.5, offline_again=3, middle=1, nearest=1, per_second=300)


@dataclasses.dataclass
class Status:
    """What the table shows; the last known values while the agent is down."""

    state: str = "starting"
    clusters: list = dataclasses.field(default_factory=list)
    backlog: int = 0
    delivered: int = 0
    forward: str = ""
    decision: str = ""
    cluster: str = ""
    switches: int = 0
    resent: int = 0
    acknowledged: int = 0
    at_hub: int = 0
    agent: str = ""


class Demo:
    def __init__(self, options, timing, directory):
        # Imported here: without the Python packages the reason has been told before this.
        from agent import SITE, Agent
        from backbone import Backbone
        from device import Devices

        self.timing = timing
        self.table = Table(backlog_scale=timing.per_second * (timing.offline + timing.dead + timing.offline_again))
        self.backbone = Backbone(options.nats_server, directory)
        self.agent = Agent(options.petiole, directory / "petiole", [cluster.proxy for cluster in self.backbone.clusters])
        self.devices = Devices(self.agent, timing.per_second)
        self.site = SITE
        self.status = Status()
        self.tasks = []
        self.rss_kb = []

    @property
    def processes(self):
        return [*self.backbone.processes, self.agent.process]

    # MARK: watching

    async def watch(self):
        """Samples everything and draws it, until cancelled."""
        ticks = 0
        while True:
            if ticks % 2 == 0:
                self.status.at_hub = await self.backbone.stored_messages() or self.status.at_hub
            await self.sample()
            self.table.show(self.status)
            ticks += 1
            await asyncio.sleep(SAMPLE_SECONDS)

    async def sample(self):
        status = self.status
        status.acknowledged = len(self.devices.acknowledged)
        process = self.agent.process
        if not process.is_running:
            status.state = status.agent = "agent is down"
            status.cluster = ""
            status.clusters = [{**one, "state": "?"} for one in status.clusters]
            return
        status.agent = f"{process.rss_kb() / 1000:.1f} MB resident, {process.cpu_seconds():.2f} s of CPU, forward: {status.forward}"
        page = await self.agent.uplink()
        if page is None:
            return
        names = [cluster.name for cluster in self.backbone.clusters]
        status.clusters = sorted(page["clusters"], key=lambda one: names.index(one["name"]))
        status.cluster = page.get("cluster", "")
        status.state = page["state"]
        decision = page.get("decision", "")
        if decision != status.decision:
            status.decision = decision
        status.switches = page.get("switches", 0)
        forward = page["forwards"][0]
        status.backlog = forward["backlog"]
        status.delivered = forward["acknowledged_seq"]
        status.forward = forward["state"] + (f" ({forward['error']})" if forward.get("error") else "")
        status.resent = forward.get("resent", 0)

    async def until(self, condition, seconds, what):
        """Waits for a state; returns the seconds that took."""
        began = time.monotonic()
        while not condition():
            self.insist()
            if time.monotonic() - began > seconds:
                raise Trouble(f"{what}: not within {seconds} s (state {self.status.state}, cluster {self.status.cluster or 'none'}, "
                              f"backlog {self.status.backlog}, forward {self.status.forward}; decision: {self.status.decision})")
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def go_on(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.insist()
            await asyncio.sleep(0.05)

    def insist(self):
        """Nothing that should run has ended, and no device has a complaint."""
        for process in self.backbone.processes:
            process.insist_on_running()
        if self.agent.client_port is not None:
            self.agent.process.insist_on_running()
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise task.exception()
        if self.devices.problems:
            raise Trouble("the devices were refused: " + "; ".join(self.devices.problems))

    def insist_on_acks_since(self, before, what):
        if len(self.devices.acknowledged) <= before:
            raise Trouble(f"the devices got no acks {what}")

    # MARK: the story

    async def run(self):
        """The whole demo; returns its exit status."""
        table, clusters = self.table, self.backbone.clusters
        near, middle = clusters[0], clusters[1]

        table.phase("a backbone of three nats-server clusters is started; their JetStream elects a leader")
        self.backbone.start()
        await self.backbone.until_ready()
        distances = ", ".join(f"{one.name} {one.place.round_trip_ms} ms" for one in clusters)
        table.event(f"backbone ready: {distances} away")

        seconds = await self.agent.start()
        table.phase(f"one agent is started (ready in {seconds * 1000:.0f} ms) and looks for the nearest cluster")
        self.tasks.append(asyncio.create_task(self.watch()))
        seconds = await self.until(lambda: self.status.cluster == near.name, LINK_SECONDS_MAX, f"the agent links to {near.name}")
        measured = ", ".join(f"{one['name']} {one['rtt_us'] / 1000:.1f} ms" for one in self.status.clusters if one.get("rtt_us"))
        table.event(f"linked to the nearest, {near.name}, after {seconds:.1f} s; measured: {measured}")

        table.phase(f"devices publish {self.timing.per_second} readings a second on 200 subjects; they flow to the hub")
        publishing = asyncio.create_task(self.devices.run())
        self.tasks.append(publishing)
        await self.go_on(self.timing.flowing)
        await self.until(lambda: self.status.at_hub > self.timing.per_second, DRAIN_SECONDS_MAX, "readings reach the hub's stream")

        await self.outage()

        table.phase(f"the second-nearest, {middle.name}, comes back")
        backlog = self.status.backlog
        middle.proxy.restore()
        seconds = await self.until(lambda: self.status.cluster == middle.name, LINK_SECONDS_MAX, f"the agent links to {middle.name}")
        backlog = max(backlog, table.backlog_max)
        table.event(f"linked to {middle.name} after {seconds:.1f} s; a backlog of {number(backlog)} drains in order")
        seconds = await self.until(lambda: self.status.backlog < backlog / 10, DRAIN_SECONDS_MAX, "the backlog drains")
        table.event(f"down to {number(self.status.backlog)} within {seconds:.1f} s")
        await self.go_on(self.timing.middle)

        table.phase(f"the nearest, {near.name}, comes back too")
        near.proxy.restore()
        seconds = await self.until(lambda: self.status.cluster == near.name, MOVE_SECONDS_MAX, f"the agent moves to {near.name}")
        table.event(f"moved to {near.name} after {seconds:.1f} s, when its gain was proven")
        clusters[2].proxy.restore()
        await self.go_on(self.timing.nearest)

        table.phase("the devices stop; the last readings are delivered")
        self.devices.stop()
        await asyncio.wait_for(asyncio.shield(publishing), DRAIN_SECONDS_MAX)
        wanted = len(self.devices.acknowledged)
        await self.until(lambda: self.status.backlog == 0 and self.status.delivered >= wanted, DRAIN_SECONDS_MAX, "the backlog is empty")
        await self.until(lambda: self.status.at_hub >= wanted, DRAIN_SECONDS_MAX, "the hub's stream holds every reading")
        self.rss_kb.append(self.agent.process.rss_kb())
        self.tasks[0].cancel()
        await self.sample()
        table.show(self.status)
        table.leave()
        return await self.conclude()

    async def outage(self):
        """Nobody can be reached; in the middle of it the agent is killed and started again."""
        table, agent = self.table, self.agent
        table.phase("all three become unreachable; the devices do not notice")
        before = len(self.devices.acknowledged)
        for cluster in self.backbone.clusters:
            cluster.proxy.cut()
        await self.until(lambda: not self.status.cluster, LINK_SECONDS_MAX, "the agent notices that its link is gone")
        await self.go_on(self.timing.offline)
        self.insist_on_acks_since(before, "while the backbone was unreachable")
        backlog = self.status.backlog
        if backlog < self.timing.per_second:
            raise Trouble(f"the backlog did not grow while the backbone was unreachable: {backlog}")

        self.rss_kb.append(agent.process.rss_kb())
        table.phase(f"the agent is killed (SIGKILL) with a backlog of {number(backlog)}, and started again")
        await agent.kill()
        await self.go_on(self.timing.dead)
        seconds = await agent.start()
        before = len(self.devices.acknowledged)
        table.event(f"agent ready again after {seconds * 1000:.0f} ms")
        await self.until(lambda: self.status.state != "agent is down", LINK_SECONDS_MAX, "the agent reports again")
        await self.until(lambda: self.status.backlog >= backlog, 5, f"the backlog of {backlog} is still there after the restart")
        await self.go_on(self.timing.offline_again)
        self.insist_on_acks_since(before, "after the agent's restart")

    # MARK: the end

    async def conclude(self):
        from verdict import Verdict

        table, devices, process = self.table, self.devices, self.agent.process
        verdict = Verdict(devices.acknowledged, f"site.{self.site}.")
        async for subject, body in self.backbone.read_all():
            verdict.stored(subject, body)
        problems = verdict.problems()

        up = sum(cluster.proxy.wire_bytes[0] for cluster in self.backbone.clusters)
        down = sum(cluster.proxy.wire_bytes[1] for cluster in self.backbone.clusters)
        cpu = process.cpu_seconds()
        table.say()
        table.say(f"  acknowledged to the devices  {number(verdict.wanted_count):>9}")
        table.say(f"  in the hub's stream          {number(verdict.stored_count):>9}")
        if devices.republished:
            table.say(
                f"  sent twice by the devices    {number(devices.republished):>9}   for want of an ack when the agent was killed; "
                f"{number(devices.duplicates_refused)} of them had been stored"
            )
        table.say(f"  agent: binary                {size(pathlib.Path(process.command[0]).stat().st_size):>9}")
        table.say(
            f"         resident memory       {size(self.rss_kb[0] * 1024):>9}   before the kill; {size(self.rss_kb[-1] * 1024)} at the end"
        )
        per_reading = cpu / max(verdict.wanted_count, 1) * 1e6
        table.say(f"         CPU                   {cpu:7.2f} s   {per_reading:.0f} us a reading, stored, synced and forwarded")
        table.say(
            f"  uplink on the wire           {size(up):>9}   to the hub, {size(down)} back, "
            f"for {size(verdict.payload_bytes)} of readings; measuring included"
        )
        table.say()
        if problems:
            table.say("FAILED: the hub's stream is not what the devices had acknowledged")
            for line in problems:
                table.say(f"  {line}")
            return 1
        table.say(f"PASSED: every acknowledged reading is in the hub's stream exactly once, in order per device ({table.clock().strip()})")
        return 0

    async def close(self):
        self.table.leave()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(self.agent.process.stop(), self.backbone.close(), return_exceptions=True)

    def show_logs(self):
        for process in [*self.backbone.processes, self.agent.process]:
            lines = process.last_log_lines(LOG_LINES_AGENT if process is self.agent.process else LOG_LINES_SERVER)
            if lines:
                print(f"\n---- the end of the log of {process.name}", file=sys.stderr)
                print("\n".join(lines), file=sys.stderr)


async def play(options, timing, directory):
    """Runs the demo and cleans up whatever happens; returns the exit status."""
    demo = Demo(options, timing, directory)
    atexit.register(lambda: [process.kill_at_once() for process in demo.processes])
    main = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    try:
        status = await demo.run()
        if status:
            demo.show_logs()
        return status
    except asyncio.CancelledError:
        demo.table.say("interrupted; cleaning up")
        return 130
    except Trouble as trouble:
        demo.table.say()
        demo.table.say(f"FAILED: {trouble}")
        demo.show_logs()
        return 1
    finally:
        await demo.close()


def read_options():
    parser = argparse.ArgumentParser(description="Petiole's main job, shown on a real NATS backbone.")
    parser.add_argument("--petiole", type=pathlib.Path, default=REPOSITORY / "dist/amd64/petiole", help="the agent's binary")
    parser.add_argument("--nats-server", type=pathlib.Path, help="nats-server; default: beside this Python, or in PATH")
    parser.add_argument("--quick", action="store_true", help="the same story with shorter waits, for CI")
    parser.add_argument("--keep", action="store_true", help="keep the directory with logs, configurations and stores")
    return parser.parse_args()


def reason_not_to_start(options):
    """What is missing, as a sentence; fills in where nats-server is."""
    if not options.petiole.is_file():
        return f"there is no agent at {options.petiole}: `make release` builds it"
    beside = pathlib.Path(sys.executable).parent / "nats-server"
    if options.nats_server is None:
        found = str(beside) if beside.is_file() else shutil.which("nats-server")
        options.nats_server = pathlib.Path(found) if found else None
    if options.nats_server is None or not options.nats_server.is_file() or importlib.util.find_spec("nats") is None:
        return "nats-server and its Python client are not here and could not be fetched from PyPI: is there a network?"
    return None


def main():
    options = read_options()
    reason = reason_not_to_start(options)
    if reason is not None:
        print(f"demo: {reason}", file=sys.stderr)
        return 2
    options.petiole = options.petiole.resolve()
    options.nats_server = options.nats_server.resolve()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="petiole-demo-"))
    try:
        with contextlib.suppress(KeyboardInterrupt):
            return asyncio.run(play(options, QUICK if options.quick else FULL, directory))
        return 130
    finally:
        if options.keep:
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
