"""The backbone: three one-node nats-server clusters, joined by gateways into a super-cluster with JetStream and one stream."""

import asyncio
import contextlib
import dataclasses
import time

import nats
import nats.errors
import nats.js.api
import nats.js.errors

from ports import free_port
from processes import Process, Trouble
from proxy import DelayProxy

STREAM = "READINGS"
DOMAIN = "hub"
# Elections of the meta group draw waits of several seconds.
READY_SECONDS_MAX = 40


@dataclasses.dataclass(frozen=True)
class Place:
    name: str
    round_trip_ms: int


PLACES = (Place("eu-central", 10), Place("eu-north", 40), Place("us-east", 120))


class Cluster:
    """One nats-server, and the proxy that stands between its leaf listener and the agent."""

    def __init__(self, place, nats_server, directory):
        self.place = place
        self.name = place.name
        self.client_port = free_port()
        self.route_port = free_port()
        self.gateway_port = free_port()
        self.leaf_port = free_port()
        self.path = directory / place.name / "nats-server.conf"
        self.process = Process(f"nats-server {place.name}", [nats_server, "-c", self.path], directory / place.name)
        self.proxy = DelayProxy(self.leaf_port, place.round_trip_ms / 2)

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.client_port}"

    def config(self, clusters):
        gateways = "\n".join(f"    {{ name: {one.name}, urls: [\"nats://127.0.0.1:{one.gateway_port}\"] }}" for one in clusters)
        return f"""server_name: {self.name}-1
listen: "127.0.0.1:{self.client_port}"
jetstream {{ store_dir: "{self.path.parent / 'jetstream'}", domain: {DOMAIN} }}
accounts {{
  PLANT {{ jetstream: enabled, users: [ {{ user: plant, password: plant }} ] }}
  SYS {{ users: [ {{ user: sys, password: sys }} ] }}
}}
system_account: SYS
no_auth_user: plant
# A cluster of one still needs a route to elect a leader of JetStream: its own.
cluster {{ name: {self.name}, listen: "127.0.0.1:{self.route_port}", routes: [ "nats://127.0.0.1:{self.route_port}" ], no_advertise: true }}
gateway {{
  name: {self.name}
  listen: "127.0.0.1:{self.gateway_port}"
  gateways: [
{gateways}
  ]
}}
# The agent knows only the way through the proxy.
leafnodes {{ listen: "127.0.0.1:{self.leaf_port}", no_advertise: true, authorization {{ account: PLANT }} }}
"""

    def start(self, clusters):
        self.path.write_text(self.config(clusters))
        self.process.spawn()


class Backbone:
    def __init__(self, nats_server, directory):
        self.clusters = [Cluster(place, nats_server, directory) for place in PLACES]
        self.connection = None
        self.jetstream = None

    @property
    def processes(self):
        return [cluster.process for cluster in self.clusters]

    def start(self):
        for cluster in self.clusters:
            cluster.start(self.clusters)

    async def until_ready(self):
        """Waits for the meta leader, by creating the stream."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            for process in self.processes:
                process.insist_on_running()
            try:
                await self._connect()
                await self.jetstream.add_stream(
                    name=STREAM, subjects=["site.>"], placement=nats.js.api.Placement(cluster=PLACES[0].name), num_replicas=1
                )
                return
            except (OSError, nats.errors.Error, asyncio.TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise Trouble(f"the backbone's JetStream did not start within {READY_SECONDS_MAX} s: {error!r}") from error
            await asyncio.sleep(0.25)

    async def _connect(self):
        if self.connection is None:

            async def quiet(_):
                pass

            self.connection = await nats.connect(self.clusters[0].url, allow_reconnect=False, error_cb=quiet)
            self.jetstream = self.connection.jetstream(timeout=2, domain=DOMAIN)

    async def stored_messages(self):
        """How many messages the stream holds, by the backbone's own word; None while it does not answer."""
        with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError):
            return (await self.jetstream.stream_info(STREAM)).state.messages
        return None

    async def read_all(self):
        """Every message of the stream, in its order, as (subject, payload)."""
        state = (await self.jetstream.stream_info(STREAM)).state
        consumer = await self.jetstream.pull_subscribe(
            "", stream=STREAM, config=nats.js.api.ConsumerConfig(ack_policy=nats.js.api.AckPolicy.NONE, mem_storage=True)
        )
        left = state.messages
        while left > 0:
            batch = await consumer.fetch(min(left, 1000), timeout=10)
            for message in batch:
                yield message.subject, message.data
            left -= len(batch)

    async def close(self):
        for cluster in self.clusters:
            cluster.proxy.close()
        if self.connection is not None:
            with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError):
                await asyncio.wait_for(self.connection.close(), 2)
        await asyncio.gather(*(process.stop() for process in self.processes))
