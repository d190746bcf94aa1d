"""The same configuration and the same bytes for a real nats-server and for petiole: what comes back must be the same."""

import json
import re
import time

from rawclient import RawClient
from servers import NATS_SERVER, PETIOLE

# Members of INFO that say how a server was built, or that differ on every run.
INFO_VARIES = {"git_commit", "go", "xkey", "server_id", "server_name", "port", "client_id", "nonce"}


def connect_line(**options):
    return "CONNECT " + json.dumps({"verbose": False, "pedantic": False, **options}) + "\r\n"


def login(user, password=None, **options):
    return connect_line(user=user, **({"pass": password} if password is not None else {}), **options)


def normalized(text):
    """Raw protocol text without what differs from run to run."""

    def info(match):
        value = json.loads(match[1])
        return "INFO " + json.dumps({key: "" if key in INFO_VARIES else value[key] for key in value if key not in ("git_commit", "go", "xkey")}) + "\r\n"

    text = re.sub(r"INFO (\{.*?\}) \r\n", info, text)
    text = re.sub(r"_R_\.\w+\.\w+", "_R_", text)
    # The round trip is in a header, so the lengths vary with its digits.
    text = re.sub(r"(HMSG \S+ \S+ (?:\S+ )?)\d+ \d+(\r\nNATS/1.0\r\nNats-Request-Info)", r"\1# #\2", text)
    return re.sub(r'"rtt":\d+', '"rtt":0', text)


class Exchange:
    """One raw connection, told what to send and when to wait."""

    def __init__(self, server):
        self.raw = RawClient(server.port, read_info=False)

    def say(self, *lines, wait=True):
        """Sends lines; with `wait` returns when a PING behind them was answered, or the server has closed."""
        answered = self.raw.buffer.count(b"PONG\r\n") + "".join(lines).count("PING\r\n") + 1
        self.raw.send("".join(lines))
        if wait:
            self.raw.send("PING\r\n")
            deadline = time.monotonic() + 10
            while self.raw.buffer.count(b"PONG\r\n") < answered and self.raw.fill(deadline):
                pass
        return self

    def until(self, text, seconds=10):
        deadline = time.monotonic() + seconds
        while text.encode() not in self.raw.buffer:
            assert self.raw.fill(deadline), f"{text!r} did not come; have {self.raw.buffer!r} (closed: {self.raw.closed})"
        return self

    def until_closed(self, seconds=10):
        deadline = time.monotonic() + seconds
        while self.raw.fill(deadline):
            pass
        assert self.raw.closed, f"the server did not close; have {self.raw.buffer!r}"
        return self

    def heard(self):
        """What came so far, normalised, with a mark when the server has closed."""
        text = normalized(self.raw.buffer.decode(errors="replace"))
        self.raw.buffer = b""
        return text + ("<closed>" if self.raw.closed else "")


class Pair:
    """A real server and petiole with the same configuration."""

    def __init__(self, servers, config, **options):
        self.both = [
            servers(NATS_SERVER, "real", config=config, **options).start(),
            servers(PETIOLE, "ours", config=config, **options).start(),
        ]

    @property
    def ours(self):
        return self.both[1]

    def same(self, act):
        """Does `act` with each server; the results must be the same, and are returned."""
        real, ours = (act(server) for server in self.both)
        assert ours == real, f"ours: {ours!r}\nreal: {real!r}"
        return ours

    def say(self, *lines):
        """What both answer to the same bytes on a new connection."""
        return self.same(lambda server: Exchange(server).say(*lines).heard())
