"""A place that is reached over a way of its own, a pair of virtual cables into another network namespace, and that can be lost."""

import ctypes
import os
import shutil
import socket
import subprocess

CLONE_NEWNET = 0x40000000


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True)


class Elsewhere:
    """`listener` accepts there, at `address`. `lose()`: nobody has that address any more, so that what is sent there is heard by nobody
    and answered by nobody, as behind a dead radio link."""

    def __init__(self):
        tag = f"{os.getpid() % 100_000}"
        self.name, self.near, self.far = f"petiole-{tag}", f"ptl{tag}a", f"ptl{tag}b"
        self.net = f"10.{os.getpid() // 250 % 250}.{os.getpid() % 250}"
        self.address = f"{self.net}.2"
        self.listener = None

    def __enter__(self):
        """None where this machine does not let us."""
        if os.geteuid() != 0 or not shutil.which("ip") or ip("netns", "add", self.name).returncode != 0:
            return None
        steps = [
            ("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name),
            ("address", "add", f"{self.net}.1/24", "dev", self.near),
            ("link", "set", self.near, "up"),
            ("-n", self.name, "address", "add", f"{self.address}/24", "dev", self.far),
            ("-n", self.name, "link", "set", self.far, "up"),
        ]
        if any(ip(*step).returncode != 0 for step in steps):
            self.__exit__()
            return None
        self.listener = self._listen()
        return self

    def __exit__(self, *_):
        ip("link", "delete", self.near)
        ip("netns", "delete", self.name)

    def _listen(self):
        """A socket belongs to the namespace in which its thread was when it was made."""
        setns = ctypes.CDLL(None, use_errno=True).setns
        with open("/proc/thread-self/ns/net") as here, open(f"/run/netns/{self.name}") as there:
            assert setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                return socket.create_server((self.address, 0))
            finally:
                assert setns(here.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def lose(self):
        assert ip("-n", self.name, "address", "delete", f"{self.address}/24", "dev", self.far).returncode == 0
