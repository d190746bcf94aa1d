"""Gateways behind gateways: device -> cell -> yard -> site, where the device and the site are real nats-servers and what is between are
agents. Everything that works over one link works over three."""

import asyncio

import nats
import pytest

from servers import NATS_SERVER, PETIOLE
from test_sourcing import api, info, make, messages, publish, until_held
from waiting import leafs, until, until_interest

# From the edge inwards.
NAMES = ["device", "cell", "yard", "site"]


@pytest.fixture
async def chain(servers, client):
    """The servers of a chain, linked, and a client of each."""
    made = [
        servers(PETIOLE if name in ("cell", "yard") else NATS_SERVER, name, leaf=True, jetstream=f"domain: {name}") for name in NAMES
    ]
    for server, upper in zip(made, made[1:]):
        server.leaf = f'reconnect: "100ms", remotes: [ {{ url: "{upper.leaf_url}" }} ]'
    for server in reversed(made):
        server.start()
    await until(lambda: [len(leafs(server)) for server in made] == [1, 2, 2, 1], what="a chain of links")
    return made, [await client(server) for server in made]


async def test_requests_and_queues_cross_all_links(chain):
    made, clients = chain
    counts = {name: 0 for name in NAMES}

    def answer(name):
        async def handle(message):
            counts[name] += 1
            await message.respond(name.encode())

        return handle

    for name, nc in zip(NAMES, clients):
        await nc.subscribe(f"ask.{name}", cb=answer(name))
    for name, nc in (("device", clients[0]), ("site", clients[3])):
        await nc.subscribe("work", queue="workers", cb=answer(name))
    for nc in clients:
        await nc.flush()
    await until_interest(made[3], "ask.device")
    for nc in clients:
        for name in NAMES:

            async def asked(subject=f"ask.{name}", nc=nc):
                try:
                    return (await nc.request(subject, b"?", timeout=1)).data
                except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                    return None

            assert await until(asked) == name.encode()
    # One worker at each end: each of the middle's requests is served by one of them.
    for name in NAMES:
        counts[name] = 0
    for nc in clients[1:3]:
        answers = await asyncio.gather(*(nc.request("work", b"x", timeout=5) for _ in range(50)))
        assert {message.data for message in answers} <= {b"device", b"site"}
    await asyncio.sleep(0.2)  # a second delivery would come now
    assert counts["device"] + counts["site"] == 100
    with pytest.raises(nats.errors.NoRespondersError):
        await clients[0].request("ask.nobody", b"", timeout=5)


async def test_any_server_reaches_the_jetstream_of_any_other(chain):
    _, clients = chain
    for name, nc in zip(NAMES, clients):
        await make(nc, {"name": f"AT_{name}", "subjects": [f"kept.{name}"]})
    for nc in clients:
        for name in NAMES:

            async def found(nc=nc, name=name):
                try:
                    return await api(nc, f"STREAM.INFO.AT_{name}", prefix=f"$JS.{name}.API")
                except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                    return None

            answer = await until(found)
            assert answer["config"]["name"] == f"AT_{name}", answer
        names = (await api(nc, "STREAM.NAMES"))["streams"]
        assert len(names) == 1, "without a domain a client speaks to the server that it is connected to"


async def test_streams_are_sourced_and_mirrored_through_the_chain(chain):
    """Up and down at once: the site gathers what the device stores, and the device mirrors what the site stores."""
    _, clients = chain
    at_device, at_site = clients[0], clients[3]
    await make(at_device, {"name": "SENSORS", "subjects": ["sensors.>"]})
    await make(at_site, {"name": "RECIPES", "subjects": ["recipes.>"]})
    await publish(at_device, "sensors.1", 0, 300)
    await publish(at_site, "recipes.1", 0, 300)
    await make(at_site, {"name": "ALL", "sources": [{"name": "SENSORS", "external": {"api": "$JS.device.API"}}]})
    await make(at_device, {"name": "LOCAL", "mirror": {"name": "RECIPES", "external": {"api": "$JS.site.API"}}})
    await until_held(at_site, "ALL", 300)
    await until_held(at_device, "LOCAL", 300)
    await asyncio.gather(publish(at_device, "sensors.2", 300, 300), publish(at_site, "recipes.2", 300, 300))
    await until_held(at_site, "ALL", 600)
    await until_held(at_device, "LOCAL", 600)
    assert (await info(at_site, "ALL"))["state"]["messages"] == 600
    stored = await messages(at_site, "ALL")
    assert [data for _, _, data, _ in stored] == [str(n) for n in range(600)]
    assert [entry[:3] for entry in await messages(at_device, "LOCAL")] == [entry[:3] for entry in await messages(at_site, "RECIPES")]


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_server_in_the_middle_comes_back_and_nothing_is_forgotten(chain, client, lost):
    made, clients = chain
    received = await clients[0].subscribe("down")
    await clients[0].flush()
    await until_interest(made[3], "down")
    made[lost].kill()
    await until_interest(made[3], "down", present=False)
    made[lost].start()
    await until_interest(made[3], "down")
    await clients[3].publish("down", b"again")
    assert (await received.next_msg(5)).data == b"again"
