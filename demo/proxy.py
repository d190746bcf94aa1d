"""A TCP proxy that makes a server seem far away, or gone. One event loop, one timer per direction of a connection."""

import asyncio
import collections
import contextlib
import socket

from ports import free_port

# So much may be under way in one direction: more than any link here fills, and a bound for the proxy's memory.
UNDER_WAY_BYTES_MAX = 4 * 1024 * 1024


class Direction:
    """Carries bytes, and then the end, from one side to the other, each `delay_s` after it came, in order."""

    def __init__(self, loop, delay_s):
        self.loop = loop
        self.delay_s = delay_s
        self.queue = collections.deque()
        self.queued_bytes = 0
        self.carried_bytes = 0
        self.timer = None
        self.source = None
        self.sink = None
        self.is_paused = False

    def put(self, data):
        """`data` has come from the source; None is its end."""
        self.queue.append((self.loop.time() + self.delay_s, data))
        self.queued_bytes += len(data or b"")
        if self.queued_bytes > UNDER_WAY_BYTES_MAX and not self.is_paused:
            self.is_paused = True
            self.source.pause_reading()
        self.schedule()

    def schedule(self):
        if self.timer is None and self.queue and self.sink is not None:
            self.timer = self.loop.call_at(self.queue[0][0], self.deliver)

    def deliver(self):
        self.timer = None
        now = self.loop.time()
        due = []
        while self.queue and self.queue[0][0] <= now:
            due.append(self.queue.popleft()[1])
        data = b"".join(part for part in due if part is not None)
        self.queued_bytes -= len(data)
        self.carried_bytes += len(data)
        if not self.sink.is_closing():
            if data:
                self.sink.write(data)
            if due and due[-1] is None:
                self.sink.close()
        if self.is_paused and self.queued_bytes < UNDER_WAY_BYTES_MAX // 2 and not self.source.is_closing():
            self.is_paused = False
            self.source.resume_reading()
        self.schedule()

    def stop(self):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.queue.clear()
        self.sink = None


class End(asyncio.Protocol):
    """One of the two sockets of a connection."""

    def __init__(self, outgoing, incoming):
        # What is read here goes out; what comes in is written here.
        self.outgoing = outgoing
        self.incoming = incoming

    def connection_made(self, transport):
        self.outgoing.source = transport
        self.incoming.sink = transport
        self.incoming.schedule()

    def data_received(self, data):
        self.outgoing.put(data)

    def connection_lost(self, error):
        self.outgoing.put(None)


class Connection:
    def __init__(self, proxy, device_socket):
        self.proxy = proxy
        loop = asyncio.get_running_loop()
        self.up = Direction(loop, proxy.delay_s)
        self.down = Direction(loop, proxy.delay_s)
        self.task = loop.create_task(self.open(loop, device_socket))

    async def open(self, loop, device_socket):
        near, _ = await loop.connect_accepted_socket(lambda: End(self.up, self.down), device_socket)
        # The end of the handshake reaches a far server half a round trip later; its first bytes take the other half.
        await asyncio.sleep(self.proxy.delay_s)
        try:
            await loop.create_connection(lambda: End(self.down, self.up), "127.0.0.1", self.proxy.target_port)
        except OSError:
            near.abort()

    def abort(self):
        self.task.cancel()
        ends = [direction.source for direction in (self.up, self.down) if direction.source is not None]
        self.up.stop()
        self.down.stop()
        for end in ends:
            end.abort()

    @property
    def is_over(self):
        return self.task.done() and all(
            direction.source is None or (direction.source.is_closing() and not direction.queue) for direction in (self.up, self.down)
        )


class DelayProxy:
    """Forwards its own port to `target_port` with `delay_ms` added each way, as long as it is not cut."""

    def __init__(self, target_port, delay_ms):
        self.target_port = target_port
        self.delay_s = delay_ms / 1000
        self.connections = []
        self.carried = [0, 0]  # of connections that are over: to the hub, from the hub
        # Bound by number: then the port stays ours while the socket does not listen.
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setblocking(False)
        while True:
            try:
                self.listener.bind(("127.0.0.1", free_port()))
                break
            except OSError:
                continue
        self.port = self.listener.getsockname()[1]
        self.is_cut = True
        self.restore()

    def restore(self):
        """The way is there (again)."""
        if self.is_cut:
            self.is_cut = False
            self.listener.listen(64)
            asyncio.get_running_loop().add_reader(self.listener, self.accept)

    def cut(self):
        """The way is gone: open connections are reset, new ones refused."""
        if not self.is_cut:
            self.is_cut = True
            asyncio.get_running_loop().remove_reader(self.listener)
            self.listener.shutdown(socket.SHUT_RDWR)
        for connection in self.connections:
            connection.abort()
        self.forget(lambda connection: True)

    def close(self):
        self.cut()
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                device_socket, _ = self.listener.accept()
                device_socket.setblocking(False)
                self.forget(lambda connection: connection.is_over)
                self.connections.append(Connection(self, device_socket))

    def forget(self, whom):
        for connection in [one for one in self.connections if whom(one)]:
            self.connections.remove(connection)
            self.carried[0] += connection.up.carried_bytes
            self.carried[1] += connection.down.carried_bytes

    @property
    def wire_bytes(self):
        """Payload bytes of TCP carried to the hub and from it, measuring included."""
        return tuple(
            self.carried[way] + sum((one.up, one.down)[way].carried_bytes for one in self.connections) for way in (0, 1)
        )
