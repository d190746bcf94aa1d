"""The demo is a test too: its short form must end with every reading in its place, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from servers import IS_NATS_SERVER, PETIOLE, REPOSITORY, RUNNER

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
