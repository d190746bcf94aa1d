"""A TCP proxy that makes a server seem far away, gone or dumb, and counts what passes."""

import selectors
import socket
import threading
import time
from collections import deque


class DelayProxy:
    """Forwards connections to a port with `delay_ms` added each way. `cut()` ends them and refuses new ones until `restore()`; after
    `silence()` they stay as they are, and nothing passes any more; new ones are refused. `to_target` counts bytes on the way there."""

    def __init__(self, target_port, delay_ms=0, listener=None):
        self.target_port = target_port
        self.delay_s = delay_ms / 1000
        self.listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepted = 0
        self.pairs = []
        self.is_cut = False
        self.is_silent = False
        self.to_target = 0
        self.is_running = True
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def cut(self):
        with self.lock:
            self.is_cut = True
            self._drop_all()

    def silence(self):
        self.is_silent = True

    def restore(self):
        with self.lock:
            self.is_cut = False

    def close(self):
        self.is_running = False
        self.thread.join(5)
        with self.lock:
            self._drop_all()
        self.listener.close()

    def _drop_all(self):
        for pair in self.pairs:
            for one in pair["sockets"]:
                one.close()
        self.pairs = []

    def _accept(self):
        try:
            inside, _ = self.listener.accept()
        except BlockingIOError:
            return
        self.accepted += 1
        if self.is_cut or self.is_silent:
            inside.close()
            return
        try:
            outside = socket.create_connection(("127.0.0.1", self.target_port), 1)
        except OSError:
            inside.close()
            return
        for one in (inside, outside):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pairs.append({"sockets": (inside, outside), "queues": (deque(), deque())})

    def _move(self, pair, now):
        """Reads both ends, writes what is due; False when an end has closed."""
        if self.is_silent:
            return True
        for source, sink, queue in zip(pair["sockets"], reversed(pair["sockets"]), pair["queues"]):
            try:
                while data := source.recv(1 << 16):
                    queue.append((now + self.delay_s, data))
                    if source is pair["sockets"][0]:
                        self.to_target += len(data)
                return False
            except BlockingIOError:
                pass
            except OSError:
                return False
            while queue and queue[0][0] <= now:
                due, data = queue[0]
                try:
                    sent = sink.send(data)
                except BlockingIOError:
                    break
                except OSError:
                    return False
                if sent < len(data):
                    queue[0] = (due, data[sent:])
                    break
                queue.popleft()
        return True

    def _run(self):
        self.listener.setblocking(False)
        while self.is_running:
            with self.lock:
                self._accept()
                now = time.monotonic()
                for pair in list(self.pairs):
                    if not self._move(pair, now):
                        for one in pair["sockets"]:
                            one.close()
                        self.pairs.remove(pair)
                waiting = [self.listener] + [one for pair in self.pairs for one in pair["sockets"] if not self.is_silent]
                delayed = any(queue for pair in self.pairs for queue in pair["queues"])
            with selectors.DefaultSelector() as selector:
                for one in waiting:
                    try:
                        selector.register(one, selectors.EVENT_READ)
                    except (ValueError, KeyError):
                        pass  # cut meanwhile
                selector.select(0.001 if delayed else 0.02)
