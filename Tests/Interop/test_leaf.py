"""A leaf link with a real nats-server at its other end, which is the hub or the spoke, and between two agents: messages, queues, requests
and interest both ways, in each compression mode."""

import asyncio
import random

import nats
import pytest

from servers import until as wait
from waiting import leafs, until, until_interest, until_linked

MODES = ["off", "s2_fast", "s2_auto"]
# Who the agent is: the edge, the hub, or both.
ROLES = [("edge", mode) for mode in MODES] + [("hub", mode) for mode in MODES] + [("both", "s2_fast")]


def remote(hub, mode="s2_auto"):
    return f'leafnodes {{ reconnect: "200ms", remotes: [ {{ url: "{hub.leaf_url}", compression: {mode} }} ] }}'


@pytest.fixture
def two(petiole, hub):
    """two(role, mode) starts an edge and its hub."""

    def start(role, mode="s2_auto"):
        upstream = hub() if role == "edge" else petiole(leaf=True, name="hub")
        if role == "hub":
            return hub(remote(upstream, mode), leaf=False, name="edge"), upstream
        return petiole(remote(upstream, mode)), upstream

    return start


@pytest.fixture(params=ROLES, ids=["-".join(role) for role in ROLES])
async def pair(request, two, client):
    """(edge, its hub, client of the edge, client of the hub), linked."""
    edge, upstream = two(*request.param)
    await until_linked(upstream)
    return edge, upstream, await client(edge), await client(upstream)


@pytest.mark.smoke
async def test_messages_go_both_ways_with_headers(pair):
    _, upstream, at_edge, at_hub = pair
    here = await at_edge.subscribe("down.>")
    there = await at_hub.subscribe("up.>")
    await asyncio.gather(at_edge.flush(), at_hub.flush())
    await until_interest(upstream, "down.>")
    await at_hub.publish("down.a", b"to the edge", headers={"Way": "down"})
    message = await here.next_msg(5)
    assert (message.subject, message.data, message.headers) == ("down.a", b"to the edge", {"Way": "down"})

    async def arrives():
        # The hub's interest travels to the edge in its own time.
        await at_edge.publish("up.a", b"to the hub", headers={"Way": "up"})
        await at_edge.flush()
        try:
            return await there.next_msg(0.2)
        except nats.errors.TimeoutError:
            return None

    message = await until(arrives)
    assert (message.subject, message.data, message.headers) == ("up.a", b"to the hub", {"Way": "up"})


async def linked_subscription(nc, publisher, subject, **options):
    """A subscription at one end that the other end is known to serve."""
    subscription = await nc.subscribe(subject, pending_msgs_limit=-1, pending_bytes_limit=-1, **options)
    await nc.flush()

    async def arrives():
        await publisher.publish(subject, b"probe")
        await publisher.flush()
        try:
            return await subscription.next_msg(0.2)
        except nats.errors.TimeoutError:
            return None

    await until(arrives)
    await publisher.flush()
    # Probes that overtook the first answer.
    while True:
        try:
            await subscription.next_msg(0.3)
        except nats.errors.TimeoutError:
            return subscription


async def test_order_and_content_survive_in_bulk(pair):
    _, _, at_edge, at_hub = pair
    generator = random.Random(7)
    for publisher, receiver in ((at_edge, at_hub), (at_hub, at_edge)):
        subscription = await linked_subscription(receiver, publisher, f"bulk.{id(publisher)}")
        payloads = [
            b'{"id":%d,"value":%f}' % (n, generator.random()) if n % 3 else generator.randbytes(generator.randrange(300)) for n in range(5_000)
        ]
        for payload in payloads:
            await publisher.publish(subscription.subject, payload)
        await publisher.flush(30)
        for payload in payloads:
            assert (await subscription.next_msg(20)).data == payload


async def test_large_payloads_compressible_or_not(pair):
    _, _, at_edge, at_hub = pair
    for publisher, receiver in ((at_edge, at_hub), (at_hub, at_edge)):
        subscription = await linked_subscription(receiver, publisher, f"large.{id(publisher)}")
        for payload in (b"a" * (1 << 20), random.Random(1).randbytes(1 << 20), b"0123456789abcdef" * 40_000):
            await publisher.publish(subscription.subject, payload)
            await publisher.flush(20)
            assert (await subscription.next_msg(20)).data == payload


@pytest.mark.smoke
async def test_requests_are_answered_from_the_other_side(pair):
    _, upstream, at_edge, at_hub = pair

    def service(name):
        async def answer(message):
            await message.respond(name + b":" + message.data)

        return answer

    await at_hub.subscribe("service.hub", cb=service(b"hub"))
    await at_edge.subscribe("service.edge", cb=service(b"edge"))
    await asyncio.gather(at_edge.flush(), at_hub.flush())

    async def ask(nc, subject):
        try:
            return (await nc.request(subject, b"x", timeout=1)).data
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
            return None

    assert await until(lambda: ask(at_edge, "service.hub")) == b"hub:x"
    assert await until(lambda: ask(at_hub, "service.edge")) == b"edge:x"
    replies = await asyncio.gather(*(at_edge.request("service.hub", b"%d" % n, timeout=10) for n in range(200)))
    assert [reply.data for reply in replies] == [b"hub:%d" % n for n in range(200)]
    with pytest.raises(nats.errors.NoRespondersError):
        await at_edge.request("service.nowhere", b"", timeout=5)


async def test_a_queue_group_over_both_sides_gets_each_message_once(pair):
    _, upstream, at_edge, at_hub = pair
    got = {"edge": 0, "hub": 0}

    def count(side):
        async def handle(_):
            got[side] += 1

        return handle

    await at_edge.subscribe("jobs", queue="workers", cb=count("edge"))
    await at_edge.flush()
    await until_interest(upstream, "jobs")
    await at_hub.publish("jobs", b"only the edge has a worker")
    await until(lambda: got["edge"] == 1)
    await at_hub.subscribe("jobs", queue="workers", cb=count("hub"))
    await at_hub.flush()
    for number in range(300):
        await at_edge.publish("jobs", b"%d" % number)
        await at_hub.publish("jobs", b"%d" % number)
    await asyncio.gather(at_edge.flush(), at_hub.flush())
    await until(lambda: sum(got.values()) == 601)
    await asyncio.sleep(0.2)  # a duplicate would come now
    assert sum(got.values()) == 601
    # Each side prefers its own worker.
    assert got["edge"] >= 300 and got["hub"] >= 300, got


async def test_interest_is_counted_not_repeated(pair):
    edge, upstream, at_edge, at_hub = pair
    first = await at_edge.subscribe("counted")
    second = await at_edge.subscribe("counted")
    await at_edge.flush()
    await until_interest(upstream, "counted")
    (leaf,) = leafs(upstream)
    assert [entry for entry in leaf["subscriptions_list"] if entry == "counted"] == ["counted"]
    sent = leaf["out_msgs"]
    for number in range(10):
        await at_hub.publish("counted", b"%d" % number)
    await at_hub.flush()
    for subscription in (first, second):
        assert [(await subscription.next_msg(5)).data for _ in range(10)] == [b"%d" % n for n in range(10)]
    assert leafs(upstream)[0]["out_msgs"] - sent == 10
    await first.unsubscribe()
    await at_edge.flush()
    await at_hub.publish("counted", b"still")
    assert (await second.next_msg(5)).data == b"still"
    await second.unsubscribe()
    await until_interest(upstream, "counted", present=False)


async def test_nothing_comes_back_to_where_it_came_from(pair):
    _, upstream, at_edge, at_hub = pair
    here = await linked_subscription(at_edge, at_hub, "echo.>")
    there = await linked_subscription(at_hub, at_edge, "echo.x")
    while here.pending_msgs:
        await here.next_msg(1)
    for number in range(50):
        await at_edge.publish("echo.x", b"%d" % number)
    await at_edge.flush()
    assert [(await there.next_msg(5)).data for _ in range(50)] == [b"%d" % n for n in range(50)]
    assert [(await here.next_msg(5)).data for _ in range(50)] == [b"%d" % n for n in range(50)]
    with pytest.raises(nats.errors.TimeoutError):
        await here.next_msg(0.3)


@pytest.mark.parametrize("role", ["edge", "hub"])
@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_the_link_and_its_interest_come_back_after_a_hub_restart(two, client, ending, role):
    edge, upstream = two(role)
    at_edge = await client(edge)
    here = await at_edge.subscribe("again")
    await at_edge.flush()
    await until_interest(upstream, "again")
    getattr(upstream, ending)()
    # Subscribed while there is no hub; the edge goes on serving its own.
    later = await at_edge.subscribe("while.down")
    await at_edge.publish("again", b"local")
    assert (await here.next_msg(5)).data == b"local"
    upstream.start()
    await until_interest(upstream, "again")
    await until_interest(upstream, "while.down")
    at_hub = await client(upstream)
    await at_hub.publish("again", b"1")
    await at_hub.publish("while.down", b"2")
    assert (await here.next_msg(5)).data == b"1" and (await later.next_msg(5)).data == b"2"
    assert edge.running()


async def test_leafz_shows_the_link_at_the_edge(petiole, hub):
    upstream = hub()
    edge = petiole(remote(upstream, "s2_fast"))
    await until_linked(upstream)
    (leaf,) = wait(lambda: leafs(edge), 5, "a leaf in the edge's /leafz")
    assert leaf["is_spoke"] is True and leaf["account"] == "$G" and leaf["compression"] == "s2_fast"
    assert leaf["ip"] == "127.0.0.1" and leaf["port"] == upstream.leaf_port and leaf["name"] == "hub"
