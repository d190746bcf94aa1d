"""A store with many messages or many subjects: memory, the time from a kill to the first answer, and how long the loop was ever held."""

import time

import process
from rig import DEFAULT, make_bench_stream, stored
from rows import Row

MANY = 1_000_000


def shapes(rig):
    """Messages and subjects. Quick runs leave out what takes minutes."""
    few = [(rig.count(MANY), 1000), (rig.count(MANY // 10), rig.count(MANY // 10))]
    return few if rig.quick else [*few, (MANY, MANY), (10 * MANY, 1000)]


def rows(rig):
    settled_s = 3 if rig.quick else 5  # what waits to be written is, and garbage is collected
    few_MB = {}
    for messages, subjects in shapes(rig):
        label = f"{messages:,} messages, {subjects:,} subjects"
        turns_ms = []

        def run(side, messages=messages, subjects=subjects, turns_ms=turns_ms):
            """Resident megabytes just stored and after a restart, and the restart's seconds."""
            server = rig.server(side, jetstream=DEFAULT)
            make_bench_stream(server, "bench.>")
            rig.fill(server, "bench.s", subjects, messages)
            time.sleep(settled_s)
            first = process.resident_bytes(server.pid) / 1e6
            if side.is_petiole:
                turns_ms.append(turn_ms(server))
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

        taken = rig.compare(label, run, rounds=1 if rig.quick or messages > MANY else 2)
        few = subjects == 1000
        quarter = {"goal": 0.25, "against": "default"} if few else {}
        memory = {"goal": 64} if messages > MANY else quarter
        yield Row("store", f"RSS, {label}", "MB", {side: values[0] for side, values in taken.items()}, **memory)
        yield Row("store", "  RSS after a restart", "MB", {side: values[1] for side, values in taken.items()}, **memory)
        goal = 0.15 if few and messages <= MANY else None
        yield Row("store", "  restart after SIGKILL to the first answer", "s", {side: values[2] for side, values in taken.items()}, goal=goal)
        if turns_ms:
            yield Row("store", "  longest turn of the event loop", "ms", {"petiole": max(turns_ms)}, goal=5)
        if few and messages == MANY:
            few_MB = {side: values[0] for side, values in taken.items()}
        elif messages == subjects == MANY:
            per = {side: (values[0] - few_MB[side]) * 1e6 / MANY for side, values in taken.items()}
            yield Row("store", "  RSS per subject", "B", per, goal=64)


def turn_ms(server):
    return server.json("/varz")["petiole"]["turn_max_us"] / 1000
