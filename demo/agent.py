"""The agent under demonstration: its configuration, its process, and what its monitoring pages say."""

import asyncio
import json
import time

from backbone import PLACES
from processes import Process, Trouble

STREAM = "TELEMETRY"
SITE = "0042"
# How often the agent measures the clusters. In the field half an hour is enough; nobody wants to wait for that here.
PROBE_INTERVAL = "2s"
START_SECONDS_MAX = 10


class Agent:
    def __init__(self, binary, directory, proxies):
        self.binary = binary
        self.proxies = proxies
        self.process = Process("petiole", [binary, "-c", directory / "petiole.conf"], directory)
        (directory / "petiole.conf").write_text(self.config(directory))
        self.client_port = self.monitor_port = None
        self.restarts = 0

    def config(self, directory):
        clusters = "\n".join(
            f'    {{ name: {place.name}, urls: ["nats-leaf://127.0.0.1:{proxy.port}"] }}'
            for place, proxy in zip(PLACES, self.proxies, strict=True)
        )
        return f"""server_name: gw-{SITE}
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
ports_file_dir: "{directory}"
jetstream {{ store_dir: "{directory / 'store'}", domain: gw-{SITE} }}
streams: [ {{ name: {STREAM}, subjects: ["sensors.>"], max_bytes: 1GB, discard: old }} ]
uplink {{
  clusters: [
{clusters}
  ]
  probe_interval: "{PROBE_INTERVAL}"
}}
forward: [ {{ stream: {STREAM}, filter: "sensors.>", to: "site.{SITE}.sensors.>" }} ]
"""

    async def start(self):
        """Starts it and waits for its ports file; returns the seconds that took."""
        for old in self.process.directory.glob("*.ports"):
            old.unlink()
        began = time.monotonic()
        self.process.spawn()
        while True:
            ports = self._read_ports()
            if ports is not None:
                break
            self.process.insist_on_running()
            if time.monotonic() - began > START_SECONDS_MAX:
                raise Trouble(f"petiole was not ready within {START_SECONDS_MAX} s")
            await asyncio.sleep(0.01)
        self.client_port = self._port(ports, "nats")
        self.monitor_port = self._port(ports, "monitoring")
        return time.monotonic() - began

    def _read_ports(self):
        for path in self.process.directory.glob(f"*_{self.process.pid}.ports"):
            try:
                return json.loads(path.read_text())
            except ValueError:
                return None  # still being written
        return None

    @staticmethod
    def _port(ports, key):
        return int(ports[key][0].rsplit(":", 1)[1].rstrip("/"))

    @property
    def url(self):
        """Where devices find it; None while it is down."""
        return f"nats://127.0.0.1:{self.client_port}" if self.process.is_running and self.client_port else None

    async def kill(self):
        self.client_port = None
        await self.process.kill()

    async def uplink(self):
        """/uplinkz, or None while the agent does not answer."""
        try:
            return await asyncio.wait_for(self._get("/uplinkz"), 2)
        except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            return None

    async def _get(self, path):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.monitor_port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise ValueError(f"{path}: {head[:60]!r}")
            return json.loads(body)
        finally:
            writer.close()
