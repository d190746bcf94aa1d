"""Two real clusters of three nodes, joined by gateways, as backbone: links and what crosses them survive every node and a whole cluster."""

import asyncio

import nats.errors
import pytest
from nats.js.api import Placement

from ports import free_port
from readings import Devices, check, until_delivered
from servers import NATS_SERVER, RUNNER
from waiting import leafs, until

pytestmark = pytest.mark.ours

CLUSTERS = ("east", "west")
NODES = range(3)


class Backbone:
    """Six nats-servers that find each other by configuration alone."""

    def __init__(self, servers):
        self.routes = {cluster: [free_port() for _ in NODES] for cluster in CLUSTERS}
        self.gateways = {cluster: [free_port() for _ in NODES] for cluster in CLUSTERS}
        self.nodes = {
            cluster: [
                servers(NATS_SERVER, f"{cluster}-{node}", config=self.config(cluster, node), jetstream="domain: hub", leaf=True)
                for node in NODES
            ]
            for cluster in CLUSTERS
        }

    def config(self, cluster, node):
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self.routes[cluster])
        gateways = "\n".join(
            f'{{ name: {name}, urls: [{", ".join(f"{chr(34)}nats://127.0.0.1:{port}{chr(34)}" for port in ports)}] }}'
            for name, ports in self.gateways.items()
        )
        return f"""
cluster {{ name: {cluster}, listen: "127.0.0.1:{self.routes[cluster][node]}", routes: [{routes}] }}
gateway {{ name: {cluster}, listen: "127.0.0.1:{self.gateways[cluster][node]}", gateways: [ {gateways} ] }}
accounts {{
  PLANT {{ jetstream: enabled, users: [ {{ user: plant, password: plant }} ] }}
  SYS {{ users: [ {{ user: sys, password: sys }} ] }}
}}
system_account: SYS
no_auth_user: plant
"""

    def all(self):
        return [node for cluster in CLUSTERS for node in self.nodes[cluster]]

    async def start(self):
        # Together: a node alone waits for the others.
        await asyncio.gather(*(asyncio.to_thread(node.start) for node in self.all()))

    def urls(self, cluster):
        return ", ".join(f'"{node.leaf_url}"' for node in self.nodes[cluster])

    def holder_of_leaf(self, name):
        """The node that a leaf is linked to."""
        for node in self.all():
            if node.running() and any(leaf["name"] == name for leaf in leafs(node)):
                return node
        return None


@pytest.fixture
async def backbone(servers):
    made = Backbone(servers)
    await made.start()
    return made


async def create_stream(client, backbone):
    """The stream, with three replicas in the west; the JetStream of six nodes elects a leader first."""
    js = (await client(backbone.nodes["west"][0])).jetstream(timeout=2)

    async def created():
        try:
            return await js.add_stream(name="READINGS", subjects=["sensors.>"], num_replicas=3, placement=Placement(cluster="west"))
        except (nats.errors.Error, asyncio.TimeoutError):
            return None

    await until(created, 60, "the backbone's JetStream has a leader", every=0.3)


def edge_config(backbone, *clusters):
    entries = "\n".join(f"{{ name: {name}, tier: {tier}, urls: [{backbone.urls(name)}] }}" for tier, name in enumerate(clusters))
    return f'uplink {{ probe_interval: "1s", clusters: [ {entries} ] }}'


@pytest.mark.timeout(240)
@pytest.mark.skipif(bool(RUNNER), reason="six servers beside an emulated agent are too slow to be watched by the clock")
async def test_nodes_and_a_cluster_may_go_and_nothing_is_lost(backbone, agent, client):
    await create_stream(client, backbone)
    streams = 'streams: [ { name: TELEMETRY, subjects: ["sensors.>"], max_bytes: 64MB } ]\nforward: [ { stream: TELEMETRY } ]\n'
    first = agent(streams + edge_config(backbone, "east", "west"), "first", jetstream="domain: first").start()
    second = agent(edge_config(backbone, "west"), "second").start()
    at_first, at_second = await client(first), await client(second)
    heard = []

    async def hear(message):
        heard.append(message.data.decode())

    await at_second.subscribe("alarms.>", cb=hear)
    devices = Devices(5)

    async def crosses(what):
        """Messages of the first edge's devices reach those of the second, and readings go on."""

        async def sent_and_heard():
            await at_first.publish("alarms.door", what.encode())
            await at_first.flush()
            await asyncio.sleep(0.05)
            return what in heard

        await until(sent_and_heard, 60, f"an alarm crosses: {what}", every=0.1)
        await devices.publish(at_first.jetstream(), 50)

    await crosses("at first")
    assert backbone.holder_of_leaf("first").name.startswith("east")
    for node in backbone.nodes["east"]:
        node.kill()
        await crosses(f"without {node.name}")
        await asyncio.to_thread(node.start)
    # Once more the very node that the edge is on, wherever it went.
    holder = await until(lambda: backbone.holder_of_leaf("first"), 30, "the first edge is linked")
    holder.kill()
    await crosses(f"without its own {holder.name}")
    await asyncio.to_thread(holder.start)
    for node in backbone.nodes["east"]:
        node.kill()
    await crosses("without the east")
    assert backbone.holder_of_leaf("first").name.startswith("west")
    # Three of six nodes have no majority, and so no API of JetStream, until the others are back.
    await asyncio.gather(*(asyncio.to_thread(node.start) for node in backbone.nodes["east"]))
    await until_delivered(client, backbone.nodes["west"][0], devices.total, seconds=90)
    assert await check(client, backbone.nodes["west"][0], devices) == devices.total
