"""Publish, subscribe, request and reply through nats-py, as an application does it."""

import asyncio
import json

import nats
import pytest
from nats.micro import ServiceConfig, add_service
from nats.micro.service import EndpointConfig

from rawclient import RawClient
from sidebyside import Exchange, Pair, connect_line

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


@pytest.mark.parametrize("options", [{"verbose": True}, {"pedantic": True}, {"verbose": True, "pedantic": True}])
async def test_a_client_that_wants_every_line_confirmed_or_checked(petiole, client, options):
    nc = await client(petiole(jetstream=True), **options)

    async def answer(message):
        await message.respond(message.data * 2)

    await nc.subscribe("double", cb=answer)
    replies = await asyncio.gather(*(nc.request("double", b"%d" % n, timeout=5, headers={"N": str(n)}) for n in range(50)))
    assert [reply.data for reply in replies] == [b"%d%d" % (n, n) for n in range(50)]
    js = nc.jetstream()
    await js.add_stream(name="S", subjects=["s"])
    assert [(await js.publish("s", b"x")).seq for _ in range(3)] == [1, 2, 3]
    consumer = await js.pull_subscribe("s", "c")
    assert len(await consumer.fetch(3, timeout=5)) == 3


async def test_micro_services_are_found_and_share_their_requests(petiole, client):
    server = petiole()
    caller, *hosts = [await client(server) for _ in range(4)]
    counts = [0] * len(hosts)

    def handler(index):
        async def handle(request):
            counts[index] += 1
            if request.data == b"bad":
                await request.respond_error("422", "not a number")
            else:
                await request.respond(b"%d" % (int(request.data) + 1), headers={"By": "service"})

        return handle

    services = []
    for index, nc in enumerate(hosts):
        service = await add_service(nc, ServiceConfig(name="increment", version="0.1.0"))
        await service.add_endpoint(EndpointConfig(name="one", subject="math.one", handler=handler(index)))
        await service.add_group(name="every").add_endpoint(EndpointConfig(name="math", handler=handler(index), queue_group=f"own-{index}"))
        await nc.flush()
        services.append(service)

    async def asked(subject, count, data=b""):
        """So many answers to one request, and none more."""
        inbox = await caller.subscribe(caller.new_inbox())
        await caller.publish(subject, data, reply=inbox.subject)
        answers = [await inbox.next_msg(5) for _ in range(count)]
        await caller.flush()
        assert inbox.pending_msgs == 0
        await inbox.unsubscribe()
        return answers

    found = [json.loads(answer.data) for answer in await asked("$SRV.PING", 3)]
    assert {ping["id"] for ping in found} == {service.id for service in services}
    for subject, count in (("$SRV.INFO.increment", 3), (f"$SRV.STATS.increment.{services[1].id}", 1)):
        assert {json.loads(answer.data)["name"] for answer in await asked(subject, count)} == {"increment"}
    replies = await asyncio.gather(*(caller.request("math.one", b"%d" % n, timeout=5) for n in range(90)))
    assert [int(reply.data) for reply in replies] == list(range(1, 91)) and {reply.headers["By"] for reply in replies} == {"service"}
    assert sum(counts) == 90 and min(counts) > 5, counts
    assert len(await asked("every.math", 3, b"1")) == 3
    refused = await caller.request("math.one", b"bad", timeout=5)
    assert (refused.headers["Nats-Service-Error-Code"], refused.headers["Nats-Service-Error"]) == ("422", "not a number")
    await services[0].stop()
    assert len(await asked("$SRV.PING.increment", 2)) == 2


SHAPES = {
    "wildcards to publish to": "SUB foo.> 1\r\nPUB foo.* 1\r\na\r\nPUB foo.> 1\r\nb\r\nPUB foo.*.x 1\r\nc\r\n",
    "empty tokens": "SUB > 1\r\nPUB .foo 1\r\na\r\nPUB foo..bar 1\r\nb\r\nPUB foo. 1\r\nc\r\nPUB . 1\r\nd\r\n",
    "empty tokens heard": "SUB .foo 1\r\nSUB foo..bar 2\r\nSUB foo. 3\r\nSUB foo.>.bar 4\r\nSUB foo.** 5\r\nPUB foo.** 1\r\nx\r\n",
    "wildcards where they are none": "SUB foo* 1\r\nSUB foo> 2\r\nPUB foox 1\r\na\r\nPUB foo* 1\r\nb\r\nPUB foo> 1\r\nc\r\n",
    "groups": "SUB a workers.east# 1\r\nSUB b q#* 2\r\nSUB c q#> 3\r\nPUB a 1\r\nx\r\nPUB b 1\r\ny\r\nPUB c 1\r\nz\r\n",
    "a group with blanks": "SUB a q with blanks 1\r\n",
    "a line end in a subject": "SUB > 1\r\nPUB foo\r\nbar 7\r\npayload\r\n",
}


def test_subjects_that_clients_leave_to_the_server_to_judge(servers):
    pair = Pair(servers, "")
    for name, lines in SHAPES.items():
        # A group of its own each time: who asked before may still be there.
        for number, options in enumerate(({}, {"pedantic": True}, {"verbose": True})):
            real, ours = (Exchange(server).say(connect_line(**options), lines.replace("#", str(number))).heard() for server in pair.both)
            assert ours == real, (name, options)


def test_headers_count_into_the_largest_payload(servers):
    pair = Pair(servers, "max_payload: 1024\n")
    head = "NATS/1.0\r\nA: " + "x" * 100 + "\r\n\r\n"
    for size in (1024 - len(head), 1025 - len(head), 1024):
        total = len(head) + size
        heard = pair.say(connect_line(headers=True), "SUB a 1\r\n", f"HPUB a {len(head)} {total}\r\n{head}{'y' * size}\r\n")
        assert ("Maximum Payload Violation" in heard) == (total > 1024)


def test_the_server_pings_and_closes_who_does_not_answer(servers):
    pair = Pair(servers, 'ping_interval: "200ms"\nping_max: 3\n')
    quiet = [Exchange(server).say(connect_line()) for server in pair.both]
    lively = [RawClient(server.port).connect() for server in pair.both]
    # Longer than those that do not answer may live.
    for _ in range(6):
        for raw in lively:
            assert raw.line() == b"PING"
            raw.send("PONG\r\n")
    for raw in lively:
        raw.flush()
        raw.socket.close()
    real, ours = (exchange.until_closed().heard().split("PONG\r\n")[1] for exchange in quiet)
    assert ours == real and ours.endswith("-ERR 'Stale Connection'\r\n<closed>")
