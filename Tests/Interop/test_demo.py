"""The demo is a test too: its short form must end with every reading in its place, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from servers import IS_NATS_SERVER, PETIOLE, REPOSITORY, RUNNER

sys.path.insert(0, str(REPOSITORY / "demo"))
from device import Reading  # noqa: E402
from verdict import Verdict  # noqa: E402

pytestmark = [
    pytest.mark.ours,
    pytest.mark.skipif(IS_NATS_SERVER or bool(RUNNER), reason="the demo runs the agent itself"),
]


def command(tmp_path, *flags):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    arguments = [sys.executable, str(REPOSITORY / "demo/demo.py"), "--petiole", PETIOLE, *flags]
    return {"args": arguments, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


def processes_of(tmp_path):
    """Commands of running processes that name this test's directory."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(tmp_path) in line:
                found.append(line)
    return found


def test_the_short_demo_passes_and_cleans_up(tmp_path):
    finished = subprocess.run(**command(tmp_path, "--quick"), timeout=110)
    assert finished.returncode == 0, finished.stdout
    assert "PASSED: every acknowledged reading" in finished.stdout
    assert "\x1b" not in finished.stdout  # a pipe gets plain lines
    assert list(tmp_path.iterdir()) == [] and processes_of(tmp_path) == []


def test_an_interrupted_demo_cleans_up(tmp_path):
    with subprocess.Popen(**command(tmp_path, "--quick")) as running:
        deadline = time.monotonic() + 20
        while not processes_of(tmp_path):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=30)
    assert running.returncode == 130, output
    assert list(tmp_path.iterdir()) == [] and processes_of(tmp_path) == []


def test_the_demo_says_what_is_missing(tmp_path):
    options = command(tmp_path)
    options["args"][options["args"].index(PETIOLE)] = str(tmp_path / "nothing")
    finished = subprocess.run(**options, timeout=30)
    assert finished.returncode == 2 and "make release" in finished.stdout

    options = command(tmp_path, "--nats-server", str(tmp_path / "nothing"))
    finished = subprocess.run(**options, timeout=30)
    assert finished.returncode == 2 and "nats-server" in finished.stdout and "network" in finished.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stored: stored, []),
        (lambda stored: stored[:70] + stored[71:], ["1 lost:", "  d020 reading 2 was acknowledged and is not there"]),
        (lambda stored: [*stored, stored[-1]], ["1 twice:", "  d049 reading 4 is there twice, again as message 201"]),
        (lambda stored: [*stored[50:100], *stored[:50], *stored[100:]], ["50 out of order:", "  d000 reading 1 stands behind reading 2"]),
        (lambda stored: [("site.x", stored[0][1]), *stored[1:]], ["1 changed:", "  d000 reading 1 is on site.x, not on site.sensors.d000.humidity"]),
        (lambda stored: [(stored[0][0], stored[1][1]), *stored[1:]], ["1 lost:", "  d000 reading 1 was acknowledged and is not there"]),
        (lambda stored: [*stored, ("site.x", b"?")], ["1 unreadable:", "  message 201 on site.x is no reading: b'?'"]),
    ],
)
def test_the_verdict_sees_what_is_wrong(change, said):
    readings = [Reading(number) for number in range(200)]
    verdict = Verdict(readings, "site.")
    for subject, body in change([("site." + reading.subject, reading.body) for reading in readings]):
        verdict.stored(subject, body)
    assert verdict.problems()[:2] == said
