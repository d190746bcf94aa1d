"""The cluster selector against real hubs behind proxies that add latency: nearest first, failover, failback."""

import pytest

from delayproxy import DelayProxy
from servers import RUNNER
from waiting import leafs, until

pytestmark = pytest.mark.ours


@pytest.fixture
def far(request):
    """far(hub, delay_ms) puts a hub at a distance."""
    proxies = []

    def make(server, delay_ms):
        proxies.append(DelayProxy(server.leaf_port, delay_ms))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


def uplink(**proxies):
    clusters = "\n".join(f'    {{ name: {name}, urls: ["nats-leaf://127.0.0.1:{proxy.port}"] }}' for name, proxy in proxies.items())
    # Failback waits for several rounds of probes.
    return f'uplink {{\n  probe_interval: "1s"\n  clusters: [\n{clusters}\n  ]\n}}'


async def until_linked_to(hubs, chosen, seconds=30):
    await until(
        lambda: [name for name, server in hubs.items() if leafs(server)] == [chosen], seconds, f"linked to {chosen} and to no other"
    )


async def test_the_nearest_of_three_is_chosen_left_and_returned_to(petiole, hub, far, client):
    # A hub that knows no other keeps the agent at the addresses in its configuration.
    hubs = {name: hub(name=name) for name in ("far-away", "near", "middle")}
    proxies = {"far-away": far(hubs["far-away"], 60), "near": far(hubs["near"], 2), "middle": far(hubs["middle"], 20)}
    edge = petiole(uplink(**{name.replace("-", "_"): proxy for name, proxy in proxies.items()}))
    await until_linked_to(hubs, "near")

    # The hub counts the link from its own side of the handshake, some milliseconds before the agent does.
    await until(lambda: edge.json("/uplinkz")["cluster"] == "near", 10, "the agent says that it is linked to near")
    page = edge.json("/uplinkz")
    assert page["decision"]
    rtt_us = {cluster["name"]: cluster["rtt_us"] for cluster in page["clusters"]}
    assert rtt_us["near"] < 20_000 and rtt_us["near"] < rtt_us["middle"] < 60_000 and rtt_us["middle"] < rtt_us["far_away"], rtt_us
    # An agent that hears late of its connection asks the kernel how long that took, which an emulated one cannot.
    if not RUNNER:
        # The proxy accepts by itself, so the time to INFO is one way through it.
        assert 2_000 <= rtt_us["near"] and 20_000 <= rtt_us["middle"] and 60_000 <= rtt_us["far_away"], rtt_us

    proxies["near"].cut()
    await until_linked_to(hubs, "middle")
    proxies["middle"].cut()
    await until_linked_to(hubs, "far-away")
    proxies["middle"].restore()
    proxies["near"].restore()
    await until_linked_to(hubs, "near", seconds=90)
    nc = await client(edge)
    await nc.flush()


async def test_a_lower_tier_outranks_latency(petiole, hub, far):
    hubs = {"home": hub(name="home"), "neighbour": hub(name="neighbour")}
    home, neighbour = far(hubs["home"], 40), far(hubs["neighbour"], 1)
    petiole(
        f"""uplink {{ clusters: [
          {{ name: home, urls: ["nats-leaf://127.0.0.1:{home.port}"], tier: 0 }}
          {{ name: neighbour, urls: ["nats-leaf://127.0.0.1:{neighbour.port}"], tier: 1 }}
        ] }}"""
    )
    await until_linked_to(hubs, "home")
    home.cut()
    await until_linked_to(hubs, "neighbour")


async def test_with_no_cluster_reachable_the_agent_serves_its_own(petiole, client):
    from servers import free_port

    edge = petiole(f'uplink {{ clusters: [ {{ name: gone, urls: ["nats-leaf://127.0.0.1:{free_port()}"] }} ] }}', jetstream=True)
    nc = await client(edge)
    js = nc.jetstream()
    await js.add_stream(name="S", subjects=["s"])
    assert (await js.publish("s", b"x")).seq == 1
    assert edge.json("/healthz")["status"] == "ok"


async def test_a_hub_is_found_by_its_name(petiole, hub):
    # localhost is ::1 as well on most machines, where this hub does not listen: the other address must be tried.
    upstream = hub()
    petiole(f'uplink {{ clusters: [ {{ name: here, urls: ["nats-leaf://localhost:{upstream.leaf_port}"] }} ] }}')
    await until_linked_to({"hub": upstream}, "hub")
