"""Publish, subscribe, request and reply through nats-py, as an application does it."""

import asyncio

import nats
import pytest

pytestmark = pytest.mark.smoke


async def test_wildcards_choose_what_is_delivered(petiole, client):
    nc = await client(petiole())
    star = await nc.subscribe("a.*.c")
    rest = await nc.subscribe("a.>")
    for subject in ("a.b.c", "a.b.d", "a.b.c.d", "b.b.c"):
        await nc.publish(subject, subject.encode())
    await nc.flush()
    assert (await star.next_msg(2)).data == b"a.b.c"
    assert [(await rest.next_msg(2)).data for _ in range(3)] == [b"a.b.c", b"a.b.d", b"a.b.c.d"]
    assert star.pending_msgs == rest.pending_msgs == 0


async def test_order_is_kept_for_a_hundred_thousand_messages(petiole, client):
    server = petiole()
    publisher, subscriber = await client(server), await client(server)
    subscription = await subscriber.subscribe("n", pending_msgs_limit=-1, pending_bytes_limit=-1)
    await subscriber.flush()
    count = 100_000
    for number in range(count):
        await publisher.publish("n", b"%d" % number)
    await publisher.flush(30)
    for number in range(count):
        assert (await subscription.next_msg(20)).data == b"%d" % number


async def test_a_queue_group_shares_and_a_plain_subscription_gets_all(petiole, client):
    server = petiole()
    members = [await client(server) for _ in range(3)]
    counts = [0, 0, 0]
    everything = []

    def counter(index):
        async def handle(message):
            counts[index] += 1

        return handle

    async def watch(message):
        everything.append(message.data)

    for index, member in enumerate(members):
        await member.subscribe("work", queue="workers", cb=counter(index))
    await members[0].subscribe("work", cb=watch)
    for member in members:
        await member.flush()
    publisher = await client(server)
    for number in range(600):
        await publisher.publish("work", b"%d" % number)
    await publisher.flush()
    for _ in range(200):
        if sum(counts) == 600 and len(everything) == 600:
            break
        await asyncio.sleep(0.02)
    assert sum(counts) == 600 and len(everything) == 600
    assert min(counts) > 100, counts


async def test_request_reply_with_many_at_once(petiole, client):
    server = petiole()
    service, caller = await client(server), await client(server)

    async def double(message):
        await message.respond(b"%d" % (2 * int(message.data)))

    await service.subscribe("double", cb=double)
    await service.flush()
    replies = await asyncio.gather(*(caller.request("double", b"%d" % n, timeout=10) for n in range(500)))
    assert [int(reply.data) for reply in replies] == [2 * n for n in range(500)]


async def test_a_request_without_a_service_fails_at_once(petiole, client):
    nc = await client(petiole())
    with pytest.raises(nats.errors.NoRespondersError):
        await nc.request("nobody.home", b"", timeout=30)


async def test_headers_travel_and_a_client_without_them_gets_the_payload(petiole, client):
    from rawclient import RawClient

    server = petiole()
    nc = await client(server)
    subscription = await nc.subscribe("h")
    await nc.flush()
    with RawClient(server.port) as plain:
        plain.connect(headers=False)
        plain.send("SUB h 5\r\n")
        plain.flush()
        await nc.publish("h", b"body", headers={"Unit": "°C", "Empty": ""})
        message = await subscription.next_msg(2)
        assert message.data == b"body" and message.headers["Unit"] == "°C" and message.headers["Empty"] == ""
        plain.expect("MSG h 5 4\r\nbody\r\n")


async def test_payloads_from_nothing_to_the_limit(petiole, client):
    server = petiole()
    nc = await client(server)
    assert nc.max_payload == 1 << 20
    subscription = await nc.subscribe("big")
    for size in (0, 1, 4095, 4096, 65537, 1 << 20):
        payload = bytes(index * 31 % 251 for index in range(size))
        await nc.publish("big", payload)
        assert (await subscription.next_msg(10)).data == payload


async def test_unsubscribe_after_a_number_of_messages(petiole, client):
    nc = await client(petiole())
    subscription = await nc.subscribe("u")
    await subscription.unsubscribe(limit=2)
    for number in range(4):
        await nc.publish("u", b"%d" % number)
    await nc.flush()
    assert [(await subscription.next_msg(2)).data for _ in range(2)] == [b"0", b"1"]


async def test_drain_delivers_what_was_on_its_way(petiole, client):
    server = petiole()
    publisher, subscriber = await client(server), await client(server)
    got = []

    async def slow(message):
        await asyncio.sleep(0.001)
        got.append(message.data)

    await subscriber.subscribe("d", cb=slow)
    await subscriber.flush()
    for number in range(200):
        await publisher.publish("d", b"%d" % number)
    await publisher.flush()
    await subscriber.drain()
    assert len(got) == 200


async def test_two_hundred_clients_each_get_their_message(petiole, client):
    server = petiole()
    clients = [await client(server) for _ in range(200)]
    subscriptions = [await nc.subscribe(f"to.{index}") for index, nc in enumerate(clients)]
    await asyncio.gather(*(nc.flush() for nc in clients))
    for index in range(200):
        await clients[0].publish(f"to.{index}", b"%d" % index)
    for index, subscription in enumerate(subscriptions):
        assert (await subscription.next_msg(5)).data == b"%d" % index
