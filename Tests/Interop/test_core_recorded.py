"""The client protocol, byte for byte: what nats-server 2.15.1 answered to raw lines, replayed.

Cases come from Tests/Vectors/recorded/core-protocol.jsonl. Ids, ports and keys inside INFO differ on every run; the set of INFO's keys
does not, save for those that say how a server was built.
"""

import json
import re
import time

import pytest

from rawclient import RawClient
from servers import REPOSITORY

# A recording shortened for reading; its full form is known.
LONG_SUBJECT = "SUB " + "a" * 600 + " 1\r\n"
# What of INFO is not the protocol: build facts, and a key for auth callout, which an agent without it does not have.
BUILD_KEYS = {"git_commit", "go", "xkey"}
COMMON = "max_payload: 100\nmax_subscriptions: 3\nmax_control_line: 512\n"
CONFIG_BY_CASE = {58: "no_header_support: true\n", 59: "no_header_support: true\n"}


def cases():
    with open(REPOSITORY / "Tests/Vectors/recorded/core-protocol.jsonl") as lines:
        for line in lines:
            case = json.loads(line)
            # Authentication is tested with accounts; timed cases are in test_signals.py and test_limits.py.
            if case["area"] == "raw":
                case["sent"] = [LONG_SUBJECT if "...(608 bytes)" in part else part for part in case["sent"]]
                yield pytest.param(case, id=f"{case['n']}-{case['title']}")


def normalized(text):
    def keys(match):
        return "INFO " + " ".join(key for key in json.loads(match[1]) if key not in BUILD_KEYS) + "\r\n"

    return re.sub(r"INFO (\{.*?\}) \r\n", keys, text)


@pytest.fixture(scope="module")
def server_of(tmp_path_factory):
    """One server per configuration for the whole table: each case has a connection of its own."""
    from servers import PETIOLE, RUNNER, Server

    started = {}

    def get(config):
        if config not in started:
            directory = tmp_path_factory.mktemp("recorded")
            started[config] = Server(PETIOLE, directory, "recorded", config=config, runner=RUNNER).start()
        return started[config]

    yield get
    for server in started.values():
        server.kill()


@pytest.mark.smoke
@pytest.mark.parametrize("case", list(cases()))
def test_answers_as_recorded(case, server_of):
    server = server_of(COMMON + CONFIG_BY_CASE.get(case["n"], ""))
    expected = normalized(case["received"])
    with RawClient(server.port) as raw:
        for part in case["sent"]:
            raw.send(part)
            # The recorder paused between parts; what matters of that is that they arrive as separate reads.
            raw.fill(time.monotonic() + 0.02)
        deadline = time.monotonic() + 5
        while normalized(raw.buffer.decode()) != expected and raw.fill(deadline):
            pass
        # Wait for the end when there is to be one; otherwise see that nothing more comes.
        while raw.fill(time.monotonic() + (5 if case["closed"] else 0.1)):
            pass
        assert normalized(raw.buffer.decode()) == expected
        assert raw.closed == case["closed"]


@pytest.mark.smoke
def test_first_line_is_info_with_the_documented_keys(petiole):
    with RawClient(petiole().port) as raw:
        assert {"server_id", "server_name", "version", "proto", "host", "port", "headers", "max_payload", "client_id", "client_ip"} <= set(raw.info)
        assert raw.info["server_name"] == "edge" and raw.info["proto"] == 1 and raw.info["max_payload"] == 1 << 20


def test_verbs_are_case_insensitive_and_may_come_byte_by_byte(petiole):
    with RawClient(petiole().port) as raw:
        for byte in b'connect {"verbose":false}\r\nsub a.* 7\r\npub a.b 3\r\nabc\r\nping\r\n':
            raw.send(bytes([byte]))
        raw.expect("MSG a.b 7 3\r\nabc\r\nPONG\r\n")
