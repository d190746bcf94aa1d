"""Ports for the demo's and the tests' listeners."""

import random
import socket


def free_port():
    """A port that was free a moment ago, for listeners whose port must be known before the start.

    Below those that Linux gives to outgoing connections, of which one could take it meanwhile.
    """
    while True:
        port = random.randrange(10_240, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
