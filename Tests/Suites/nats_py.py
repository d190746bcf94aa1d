#!/usr/bin/env python3
"""Runs nats.py's own test suites, unmodified, against a server; and compares what passes with the real nats-server.

The suites start `nats-server` from PATH on fixed ports, so each run has a directory of its own in front of PATH, where that name is a
link to the server under test, and a network namespace of its own. What fails with the real server too is no target. Tests that need
several joined servers are left out: an edge agent has no routes.

    make test-nats-py NATS_PY=<checkout of nats-io/nats.py> [SUITES="nats-jetstream nats-key-value"]
"""

import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
WORK = REPOSITORY / ".build-suites"
NEW_PACKAGES = ("nats-core", "nats-jetstream", "nats-key-value", "nats-server")
SUITES = ("nats", *NEW_PACKAGES)
# The first is for names in reports; the second, pytest's -k, keeps an agent from waiting a minute for each of them.
CLUSTERS = re.compile(r"ClusterDiscovery|test_run_cluster|test_cluster_|cluster_reconnect|nats\.tests\.test_compatibility")
NO_CLUSTERS = "not (ClusterDiscovery or test_run_cluster or test_cluster_ or cluster_reconnect or test_compatibility)"
SECONDS_MAX_TEST = 60
SECONDS_MAX_SUITE = 1800


def run_suite(checkout, suite, server, keyword):
    """{test id: outcome} of one suite against one server."""
    with tempfile.TemporaryDirectory(prefix="petiole-suite-") as work:
        work = pathlib.Path(work)
        (work / "bin").mkdir()
        (work / "bin/nats-server").symlink_to(server)
        report = work / "report.xml"
        source = [checkout / "nats/src"] if suite == "nats" else [checkout / package / "src" for package in NEW_PACKAGES]
        tests = ["nats/tests"] if suite == "nats" else ["tests", "-c", "../pyproject.toml", "--rootdir=."]
        arguments = [sys.executable, "-m", "pytest", *tests, "-v", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-o", "addopts="]
        arguments += [f"--timeout={SECONDS_MAX_TEST}", f"--junitxml={report}", *(["-k", keyword] if keyword else [])]
        environment = os.environ | {
            "PATH": f"{work / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": ":".join(map(str, source)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(work),
        }
        namespace = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command = [*namespace, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *arguments]
        log = WORK / f"{suite}-{server.name}.log"
        with open(log, "w") as output:
            subprocess.run(
                command, cwd=checkout if suite == "nats" else checkout / suite, env=environment, stdout=output, stderr=output,
                timeout=SECONDS_MAX_SUITE, check=False,
            )  # fmt: skip
        if not report.exists():
            raise SystemExit(f"nats-py: {suite} did not run: see {log.relative_to(REPOSITORY)}")
        outcomes = {}
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            name = f"{suite}: {case.get('classname')}.{case.get('name')}"
            failure = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
            if failure is not None:
                outcomes[name] = (failure.get("message") or "failed").splitlines()[0][:160]
            else:
                outcomes[name] = "skipped" if case.find("skipped") is not None else "passed"
        return outcomes


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=pathlib.Path, required=True, help="of nats-io/nats.py")
    parser.add_argument("--petiole", type=pathlib.Path, required=True)
    parser.add_argument("--nats-server", type=pathlib.Path, default=REPOSITORY / ".venv/bin/nats-server")
    parser.add_argument("-k", dest="keyword", default="", help="pytest's -k, for every suite")
    parser.add_argument("suites", nargs="*", default=SUITES, metavar="SUITE", help=", ".join(SUITES))
    options = parser.parse_args()
    checkout = options.checkout.resolve()
    if not (checkout / "nats/tests").is_dir():
        parser.error(f"{options.checkout} is no checkout of nats-io/nats.py")
    if os.geteuid() != 0:
        parser.error("a network namespace needs root")
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"unknown suite {', '.join(sorted(unknown))} (known: {', '.join(SUITES)})")
    shutil.rmtree(WORK / "logs", ignore_errors=True)
    WORK.mkdir(exist_ok=True)

    counts = collections.defaultdict(lambda: [0, 0])
    failed = []
    for suite in options.suites:
        progress(f"{suite}: nats-server")
        theirs = run_suite(checkout, suite, options.nats_server.resolve(), options.keyword)
        progress(f"{suite}: petiole")
        keyword = f"({options.keyword}) and {NO_CLUSTERS}" if options.keyword else NO_CLUSTERS
        ours = run_suite(checkout, suite, options.petiole.resolve(), keyword)
        for name, outcome in theirs.items():
            if outcome != "passed" or CLUSTERS.search(name):
                continue
            group = name.rpartition(".")[0]
            counts[group][0] += 1
            if ours.get(name) == "passed":
                counts[group][1] += 1
            else:
                failed.append((name, ours.get(name, "did not run")))
    progress("")
    width = max(map(len, counts), default=0)
    print(f"{'passed by':{width}}  nats-server  petiole")
    for group, (theirs, ours) in counts.items():
        print(f"{group:{width}}  {theirs:11}  {ours:7}{'' if ours == theirs else '  *'}")
    print(f"{'together':{width}}  {sum(t for t, _ in counts.values()):11}  {sum(o for _, o in counts.values()):7}")
    for name, reason in failed:
        print(f"FAILED {name}\n       {reason}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
