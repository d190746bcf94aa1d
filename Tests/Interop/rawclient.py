"""A client of the NATS protocol that shows the bytes: for what a client library hides or would never send."""

import json
import socket
import time


class RawClient:
    def __init__(self, port, read_info=True):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.buffer = b""
        self.closed = False
        self.info = json.loads(self.line()[5:]) if read_info else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends bytes or text; a peer that has closed already is no error, what it said is read later."""
        try:
            self.socket.sendall(data.encode() if isinstance(data, str) else data)
        except OSError:
            pass

    def connect(self, **options):
        """CONNECT and a PING, up to the PONG (and the second INFO when protocol is 1)."""
        self.send("CONNECT " + json.dumps({"verbose": False, "pedantic": False, "protocol": 0, **options}) + "\r\nPING\r\n")
        assert self.line() == b"PONG"
        if options.get("protocol") == 1:
            assert self.line().startswith(b"INFO ")
        return self

    def fill(self, deadline):
        """Reads once; False when nothing came before the deadline or the peer has closed."""
        left = deadline - time.monotonic()
        if self.closed or left <= 0:
            return False
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.buffer += data
        return True

    def line(self, seconds=5):
        """The next line without its CRLF."""
        deadline = time.monotonic() + seconds
        while b"\r\n" not in self.buffer:
            if not self.fill(deadline):
                raise AssertionError(f"no line within {seconds} s (closed: {self.closed}); have {self.buffer!r}")
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def exactly(self, size, seconds=5):
        deadline = time.monotonic() + seconds
        while len(self.buffer) < size:
            assert self.fill(deadline), f"wanted {size} bytes, have {self.buffer!r}"
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def expect(self, data, seconds=5):
        data = data.encode() if isinstance(data, str) else data
        assert self.exactly(len(data), seconds) == data

    def flush(self):
        """Everything sent so far has been processed when this returns; gives what came before the PONG."""
        self.send("PING\r\n")
        deadline = time.monotonic() + 5
        while b"PONG\r\n" not in self.buffer:
            assert self.fill(deadline), f"no PONG; have {self.buffer!r}"
        before, self.buffer = self.buffer.split(b"PONG\r\n", 1)
        return before

    def read_until_closed(self, seconds=5):
        """All that comes until the server closes; fails when it does not."""
        deadline = time.monotonic() + seconds
        while self.fill(deadline):
            pass
        assert self.closed, f"the server did not close; have {self.buffer!r}"
        data, self.buffer = self.buffer, b""
        return data
