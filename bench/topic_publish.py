"""Publishes that are acknowledged: how fast, how many bytes and syncs they cost; and the same on a disk that takes 5 ms more to sync."""

import process
from rig import column, make_bench_stream
from rows import Row

SIDES = ("petiole", "synced", "default")
SIZES = {128: "128 B", 1024: "1 KB"}
WINDOWS = (1, 10, 1000)
SLOW_US = 5000


def published(rig, side, size, window, runner=()):
    server = rig.server(side, jetstream=side.jetstream, runner=runner)
    make_bench_stream(server)
    return rig.measured(server, lambda: rig.publish(server, "bench.js", size=size, window=window, seconds=rig.seconds))


def rows(rig):
    for size, size_text in SIZES.items():
        for window in WINDOWS:
            what = f"{size_text}, {window} in flight"
            three = rig.compare(
                f"acked publishes, {what}", lambda side, size=size, window=window: published(rig, side, size, window), SIDES
            )
            main = size == 128 and window == 1000
            yield Row("publish", f"acked, {what}", "msg/s", column(three, "rate"), goal=1 if main else None, against="default",
                      more_is_better=True, load_share=three["petiole"].load_share)  # fmt: skip
            yield Row("publish", f"  written per message, {what}", "B", column(three, "written_bytes"), goal=200 if main else None)
            if main:
                yield Row("publish", f"  CPU per message, {what}", "us", column(three, "cpu_us"))
    if not process.has_strace():
        return
    for window in WINDOWS:
        syncs = rig.compare(f"syncs, {window} in flight", lambda side, window=window: counted(rig, side, window), SIDES, rounds=1)
        yield Row("publish", f"syncs per 1000 messages, 128 B, {window} in flight", "", {side: 1000 * value for side, value in syncs.items()})


def counted(rig, side, window):
    """Syncs per message, in a run of its own, as the tracer slows them down."""
    report = rig.work / "syncs"
    server = rig.server(side, jetstream=side.jetstream, runner=process.tracing(report))
    make_bench_stream(server)
    before = process.sync_count(report)
    count = rig.publish(server, "bench.js", window=window, seconds=rig.seconds)["messages"]
    return (process.sync_count(report) - before) / count


def slow_rows(rig):
    """The tracer lengthens every fsync and fdatasync of each server in the same way."""
    if not process.has_strace():
        return
    for size, size_text in SIZES.items():
        for window in WINDOWS:
            what = f"{size_text}, {window} in flight"

            def run(side, size=size, window=window):
                return published(rig, side, size, window, process.tracing(sync_delay_us=SLOW_US))

            three = rig.compare(f"5 ms syncs, {what}", run, SIDES, rounds=1 if rig.quick else 2)
            yield Row("slow", f"acked, 5 ms more per sync, {what}", "msg/s", column(three, "rate"), load_share=three["petiole"].load_share)
