"""A WebSocket client that shows the frames, and sends what a library would not."""

import socket
import struct

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "gw:8080", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13",
}  # fmt: skip
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def request(fields=GOOD, line="GET / HTTP/1.1"):
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields.items() if value is not None), "", ""])


def frame(opcode, payload=b"", key=b"\x01\x02\x03\x04", final=True):
    """A frame, masked unless `key` is None."""
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size)
    head = bytes([(0x80 if final else 0) | opcode, (0x80 if key else 0) | length[0]]) + length[1:]
    return head + (key + bytes(byte ^ key[index % 4] for index, byte in enumerate(data)) if key else data)


class RawSocket:
    """A connection that asks for a WebSocket; `status` is the first line of the answer, `fields` the others."""

    def __init__(self, port, fields=GOOD, line="GET / HTTP/1.1", raw=None, tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""
        self.closed = False
        self.send(raw or request(fields, line))
        while b"\r\n\r\n" not in self.buffer and self.fill():
            pass
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.status, *self.fields = head.decode().split("\r\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data.encode() if isinstance(data, str) else data)
        except OSError:
            pass

    def fill(self, seconds=5):
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        self.closed = self.closed or not data
        self.buffer += data
        return bool(data)

    def take(self, size, seconds):
        while len(self.buffer) < size:
            if not self.fill(seconds):
                return None
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def next(self, seconds=5):
        """(opcode, payload) of the next frame; None when there is none."""
        head = self.take(2, seconds)
        if head is None:
            return None
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self.take(2 if size == 126 else 8, seconds), "big")
        return head[0] & 0x0F, self.take(size, seconds)

    def until_closed(self, seconds=5):
        """Every frame up to the end of the connection."""
        frames = []
        while (one := self.next(seconds)) is not None:
            frames.append(one)
        assert self.closed, f"still open after {frames}"
        return frames

    def say(self, text):
        """Sends NATS operations in a frame and returns what comes up to the PONG."""
        self.send(frame(BINARY, text + "PING\r\n"))
        said = b""
        while not said.endswith(b"PONG\r\n"):
            one = self.next()
            assert one is not None, f"no PONG after {said}"
            said += one[1] if one[0] == BINARY else b""
        return said[:-6]
