"""How small: the binary, memory when idle, memory of idle clients."""

import pathlib
import socket
import time

import process
from rows import Row
from servers import until
from topic_leaf import remote

CLIENTS = 1000


def rows(rig):
    sizes = {side: pathlib.Path(rig.sides[side].binary).stat().st_size / 1e6 for side in ("petiole", "default")}
    yield Row("size", "binary, static", "MB", sizes, goal=6)

    def idle(side):
        """JetStream on and a linked uplink, a while after the last thing happened, on a machine that read the program from its disk.

        A file that was just written in large pieces is in the page cache in large pieces, each of which is mapped as a whole: the same
        program counts a megabyte more then.
        """
        process.forget_pages(side.binary)
        hub = rig.hub()
        uplink = f'uplink {{ clusters: [ {{ name: hub, urls: ["{hub.leaf_url}"] }} ] }}' if side.is_petiole else remote(hub, "off")
        edge = rig.server(side, jetstream="domain: edge", config=uplink)
        until(lambda: hub.json("/leafz")["leafnodes"] == 1, 20, "the leaf link")
        # Petiole gives the memory of its start-up code back after 5 s; half a minute later what an idle one uses now and then is there again.
        time.sleep(40)
        return process.resident_bytes(edge.pid) / 1e6

    yield Row("size", "idle RSS, JetStream on, leaf link up", "MB", rig.compare("idle memory", idle, rounds=1), goal=2)

    def clients(side):
        server = rig.server(side)
        before = process.resident_bytes(server.pid)
        connected = [idle_client(server.port) for _ in range(CLIENTS)]
        time.sleep(1)
        grown = process.resident_bytes(server.pid) - before
        for client in connected:
            client.close()
        return grown / CLIENTS / 1e3

    yield Row("size", "RSS per idle client with a subscription", "kB", rig.compare("idle clients", clients, rounds=1), goal=2)


def idle_client(port):
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b'CONNECT {"verbose":false}\r\nSUB idle.client 1\r\nPING\r\n')
    text = b""
    while b"PONG\r\n" not in text:
        piece = client.recv(65536)
        if not piece:
            raise SystemExit("bench: an idle client was refused")
        text += piece
    return client
