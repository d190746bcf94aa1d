#!/usr/bin/env python3
"""Petiole beside nats-server on this machine, in one run: ratios, and whether each goal is met.

The servers take turns, in several rounds, and the median counts; so a busy machine widens the spread but favours nobody. nats-server runs with
the durability that petiole always has (sync_interval: always), and with its default, which syncs every two minutes. CPU is the server process's
own time, from its CPU clock. The load comes from the C program in load/, whose own CPU time is shown as a share of the run: it is not the
bottleneck as long as that is well below 100 %.
"""

import argparse
import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path[:0] = [str(HERE), str(REPOSITORY / "Tests/Interop")]

import process  # noqa: E402
import rig as rigs  # noqa: E402
import topic_compression  # noqa: E402
import topic_consume  # noqa: E402
import topic_core  # noqa: E402
import topic_drain  # noqa: E402
import topic_kv  # noqa: E402
import topic_leaf  # noqa: E402
import topic_publish  # noqa: E402
import topic_size  # noqa: E402
import topic_store  # noqa: E402
from rows import head, line  # noqa: E402

TOPICS = {
    "size": ("Size", topic_size.rows),
    "core": ("Core messaging", topic_core.rows),
    "leaf": ("Over a leaf link, per message, CPU of the edge", topic_leaf.rows),
    "compression": ("What a leaf link costs on the wire", topic_compression.rows),
    "drain": ("A backlog goes to the hub over a leaf link", topic_drain.rows),
    "publish": ("JetStream publishing", topic_publish.rows),
    "slow": ("The same with 5 ms more for every fsync and fdatasync, injected into each server by strace", topic_publish.slow_rows),
    "consume": ("Pull consumers", topic_consume.rows),
    "kv": ("Key-value", topic_kv.rows),
    "store": ("Many messages, many subjects", topic_store.rows),
}
# The generator has one CPU; above this it may be what limits a row.
LOAD_SHARE_MAX = 0.8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--petiole", default=str(REPOSITORY / "dist/amd64/petiole"), help="the binary to compare")
    parser.add_argument("--quick", action="store_true", help="one round, a fifth of the messages: for a look, not for a claim")
    parser.add_argument("--only", metavar="TOPIC", action="append", choices=TOPICS, help=f"one topic (may be repeated): {', '.join(TOPICS)}")
    parser.add_argument("--json", metavar="FILE", help="write the results there too; - writes nothing else to standard output")
    options = parser.parse_args()
    table = sys.stderr if options.json == "-" else sys.stdout

    work = REPOSITORY / ".build-bench"
    work.mkdir(exist_ok=True)
    rig = rigs.Rig(options.petiole, work, options.quick)
    process.build_load(HERE / "load", rig.load_binary)
    began, done = time.monotonic(), []
    print(head(), file=table)
    try:
        for number, topic in enumerate(options.only or TOPICS, 1):
            title, rows = TOPICS[topic]
            count = len(options.only or TOPICS)
            rig.progress = lambda text, number=number: rigs.say(f"[{number}/{count}, {time.monotonic() - began:.0f} s] {text}")
            print(f"\n{title}", file=table, flush=True)
            if topic in ("publish", "slow") and not process.has_strace():
                print("  strace is not installed: syncs are neither counted nor made longer", file=table)
            for row in rows(rig):
                rigs.say("")
                print(f"  {line(row)}", file=table, flush=True)
                done.append(row)
    finally:
        rigs.say("")
        rig.stop_all()
    print(summary(done, time.monotonic() - began), file=table)
    if options.json:
        text = json.dumps([row.as_json() for row in done], indent=2) + "\n"
        sys.stdout.write(text) if options.json == "-" else pathlib.Path(options.json).write_text(text)


def summary(rows, seconds):
    goals = [row for row in rows if row.met is not None]
    missed = [row.what.strip() for row in goals if not row.met]
    text = f"\n{len(goals) - len(missed)} of {len(goals)} goals met in {seconds:.0f} s"
    if missed:
        text += f"; missed: {'; '.join(missed)}"
    busy = [row.what.strip() for row in rows if (row.load_share or 0) > LOAD_SHARE_MAX]
    if busy:
        text += f"\nThe load generator was busy for more than {LOAD_SHARE_MAX:.0%} of: {'; '.join(busy)}. Petiole may be faster there."
    return text


if __name__ == "__main__":
    main()
