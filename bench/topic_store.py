"""A store with many messages or many subjects: memory, and the time from a kill to the first answer."""

import time

import process
from rig import DEFAULT, make_bench_stream, stored
from rows import Row



def rows(rig):
    settled_s = 3 if rig.quick else 5  # what waits to be written is, and garbage is collected
    for messages, subjects in ((rig.count(1_000_000), 1000), (rig.count(100_000), rig.count(100_000))):
        label = f"{messages:,} messages, {subjects:,} subjects"

        def run(side, messages=messages, subjects=subjects):
            """Resident megabytes just stored and after a restart, and the restart's seconds."""
            server = rig.server(side, jetstream=DEFAULT)
            make_bench_stream(server, "bench.>")
            rig.fill(server, "bench.s", subjects, messages)
            time.sleep(settled_s)
            first = process.resident_bytes(server.pid) / 1e6
            server.kill()
            for old in server.directory.glob("*.ports"):
                old.unlink()
            began = time.monotonic()
            server.spawn()
            while stored(server.port, "BENCH") != messages:
                if time.monotonic() - began > 60 or not server.running():
                    raise SystemExit(f"bench: {side.name} did not come back with {messages} messages\n{server.log()[-2000:]}")
                time.sleep(0.002)
            seconds = time.monotonic() - began
            time.sleep(settled_s)
            return first, process.resident_bytes(server.pid) / 1e6, seconds

        taken = rig.compare(label, run, rounds=1 if rig.quick else 2)
        quarter = {"goal": 0.25, "against": "default"} if subjects == 1000 else {}
        yield Row("store", f"RSS, {label}", "MB", {side: values[0] for side, values in taken.items()}, **quarter)
        yield Row("store", "  RSS after a restart", "MB", {side: values[1] for side, values in taken.items()}, **quarter)
        goal = 0.15 if subjects == 1000 else None
        yield Row("store", "  restart after SIGKILL to the first answer", "s", {side: values[2] for side, values in taken.items()}, goal=goal)
