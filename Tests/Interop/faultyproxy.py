"""A TCP proxy that breaks connections in every way a network does: cut at any byte, stalled, closed in one direction, slow."""

import asyncio
import random
import socket

# How the next connection ends. `reset` and `end` come after a number of bytes, so in the middle of whatever is under way.
FAULTS = ("reset", "end", "half-closed", "stall")
# Anything from the first byte of INFO to well into a backlog.
BYTES_MAX = 20_000
STALL_SECONDS = 0.4


class Connection:
    """Carries bytes both ways until its fault is due."""

    def __init__(self, proxy, reader, writer):
        self.proxy = proxy
        self.ends = [(reader, writer)]
        self.draw()

    def draw(self):
        """Chooses how and after how many more bytes this connection breaks."""
        self.fault = self.proxy.next_fault()
        self.left = self.proxy.random.randint(0, BYTES_MAX) if self.fault else None

    async def run(self):
        try:
            self.ends.append(await asyncio.open_connection("127.0.0.1", self.proxy.target_port))
        except OSError:
            self.reset()
            return
        (near, to_near), (far, to_far) = self.ends
        ways = [asyncio.create_task(self.carry(near, to_far)), asyncio.create_task(self.carry(far, to_near))]
        try:
            await asyncio.gather(*ways)
        except (OSError, asyncio.CancelledError):
            pass
        for way in ways:
            way.cancel()
        self.reset()

    async def carry(self, source, sink):
        while data := await source.read(1 << 14):
            if self.left is not None and len(data) >= self.left:
                sink.write(data[: self.left])
                rest, self.left = data[self.left :], None
                self.proxy.faults += 1
                await self.fail(sink)
                self.draw()
                data = rest
            elif self.left is not None:
                self.left -= len(data)
            sink.write(data)
            await sink.drain()
        sink.write_eof()

    async def fail(self, sink):
        """The fault happens here; returns where the connection goes on."""
        match self.fault:
            case "stall":
                await asyncio.sleep(STALL_SECONDS)
                return
            case "half-closed":
                # One side hears the end, the other goes on talking to nobody for a while.
                await sink.drain()
                sink.write_eof()
                await asyncio.sleep(STALL_SECONDS)
            case "end":
                await sink.drain()
                for _, writer in self.ends:
                    writer.close()
        raise ConnectionAbortedError

    def reset(self):
        for _, writer in self.ends:
            writer.transport.abort()


class FaultyProxy:
    """`await FaultyProxy.start(port, seed)`; breaks connections while `is_breaking`."""

    def __init__(self, target_port, seed):
        self.target_port = target_port
        self.random = random.Random(seed)
        self.is_breaking = True
        self.faults = 0
        self.connections = 0
        self.tasks = set()

    @classmethod
    async def start(cls, target_port, seed):
        proxy = cls(target_port, seed)
        proxy.server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0, family=socket.AF_INET)
        proxy.port = proxy.server.sockets[0].getsockname()[1]
        return proxy

    def next_fault(self):
        return self.random.choice(FAULTS) if self.is_breaking else None

    async def accept(self, reader, writer):
        self.connections += 1
        task = asyncio.current_task()
        self.tasks.add(task)
        await Connection(self, reader, writer).run()
        self.tasks.discard(task)

    async def close(self):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
