"""Flags and configuration files as a person meets them: versions, help, checks, errors with their place."""

import subprocess

import pytest

from rawclient import RawClient
from servers import PETIOLE, REPOSITORY, RUNNER, free_port, until

pytestmark = pytest.mark.ours


def run(*arguments, seconds=60):
    done = subprocess.run([*RUNNER, PETIOLE, *arguments], capture_output=True, text=True, timeout=seconds)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.smoke
def test_version_is_that_of_the_changelog():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    version = next(words[0] for section in changelog.split("\n## ")[1:] if (words := section.split())[0] != "Unreleased")
    for flag in ("--version", "-v", "-version"):
        status, text = run(flag)
        assert status == 0 and version in text, text


@pytest.mark.smoke
def test_help_names_every_flag():
    status, text = run("--help")
    assert status == 0
    for word in ("check", "status", "-c", "-p", "-a", "-m", "-js", "-sd", "-P"):
        assert word in text, word


@pytest.mark.smoke
@pytest.mark.parametrize(
    "text, place, words",
    [
        ("port: 4222\nfoo: 1\n", ":2:", ["unknown field", "foo"]),
        ("port: [\n", ":", ["Parse error"]),
        ('port: "abc"\n', ":1:", []),
        ("jetstream {\n  foo: 1\n}\n", ":2:", ["foo"]),
        ("x: $NOWHERE\n", "", ["NOWHERE"]),
        ("cluster { port: 6222 }\n", ":1:", ["cluster"]),
        ("uplink { clusters: [ { name: a } ] }\n", ":1:", ["url"]),
        ("uplink { clusters: [ { name: a, urls: [\"nats://h:1\"], colour: red } ] }\n", ":1:", ["colour"]),
        ("forward: [ { stream: NOPE } ]\n", "", []),
    ],
)  # fmt: skip
def test_check_says_what_is_wrong_and_where(tmp_path, text, place, words):
    path = tmp_path / "bad.conf"
    path.write_text(text)
    for arguments in (("check", "-c", str(path)), ("-c", str(path))):
        status, output = run(*arguments, seconds=20)
        assert status == 1, output
        assert f"bad.conf{place}" in output or not place, output
        for word in words:
            assert word in output, output


@pytest.mark.smoke
def test_check_accepts_the_shipped_configuration():
    status, text = run("check", "-c", str(REPOSITORY / "packaging/petiole.conf"))
    assert status == 0, text


def test_a_missing_file_is_a_clear_error(tmp_path):
    status, text = run("-c", str(tmp_path / "none.conf"), seconds=20)
    assert status == 1 and "none.conf" in text and "no such file" in text.lower()


@pytest.mark.smoke
def test_flags_alone_start_a_server(tmp_path):
    port, monitor = free_port(), free_port()
    pid_file = tmp_path / "pid"
    flags = ["-a", "127.0.0.1", "-p", str(port), "-m", str(monitor), "-js", f"-sd={tmp_path / 'store'}", "-P", str(pid_file), "-n", "by-flags"]
    process = subprocess.Popen([*RUNNER, PETIOLE, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: pid_file.exists() and pid_file.read_text() == str(process.pid), 30, "the pid file")

        def answers():
            try:
                with RawClient(port) as raw:
                    return raw.info["server_name"] == "by-flags" and raw.info["jetstream"]
            except OSError:
                return False

        assert until(answers, 30, "a server")
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert not pid_file.exists()


def test_status_shows_a_running_agent(petiole):
    server = petiole(jetstream=True)
    status, text = run("status", "-m", str(server.monitor_port))
    assert status == 0 and "edge" in text, text


def test_status_without_an_agent_is_a_clear_error():
    status, text = run("status", "-m", str(free_port()))
    assert status != 0 and text.strip()


def test_the_log_has_the_lines_that_client_test_suites_wait_for(petiole):
    server = petiole()
    log = server.log()
    assert "[INF] Server is ready" in log and f"Listening for client connections on 127.0.0.1:{server.port}" in log
    assert f"[{server.pid}] " in log
