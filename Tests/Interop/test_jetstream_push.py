"""Push and ordered consumers as nats-py uses them: queue groups, heartbeats, flow control, ordered consumers over gaps and restarts."""

import asyncio

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from waiting import until


@pytest.fixture
async def js(petiole, client):
    js = (await client(petiole(jetstream=True))).jetstream()
    await js.add_stream(name="S", subjects=["s.*"])
    return js


async def fill(js, count, size=0):
    await asyncio.gather(*(js.publish(f"s.{n % 3}", b"%d " % n + b"x" * size) for n in range(count)))


def numbers(messages):
    return [int(message.data.split()[0]) for message in messages]


async def take(subscription, count, timeout=10):
    return [await subscription.next_msg(timeout=timeout) for _ in range(count)]


async def test_a_push_subscription_gets_everything_and_acks(js):
    await fill(js, 20)
    subscription = await js.subscribe("s.*", durable="d", manual_ack=True)
    messages = await take(subscription, 20)
    assert numbers(messages) == list(range(20))
    for message in messages:
        await message.ack_sync(timeout=5)
    info = await js.consumer_info("S", "d")
    assert (info.ack_floor.stream_seq, info.num_ack_pending, info.push_bound) == (20, 0, True)


async def test_members_of_a_queue_share_the_messages(petiole, client):
    server = petiole(jetstream=True)
    js, other = [(await client(server)).jetstream() for _ in range(2)]
    await js.add_stream(name="S", subjects=["s.*"])
    one = await js.subscribe("s.*", queue="workers", manual_ack=True)
    two = await other.subscribe("s.*", queue="workers", manual_ack=True)
    await fill(js, 60)
    seen = []

    async def work(subscription):
        while True:
            message = await subscription.next_msg(timeout=30)
            seen.append(int(message.data.split()[0]))
            await message.ack()

    workers = [asyncio.create_task(work(subscription)) for subscription in (one, two)]
    await until(lambda: len(seen) >= 60)
    for worker in workers:
        worker.cancel()
    assert sorted(seen) == list(range(60))
    assert one.delivered and two.delivered


async def test_a_durable_goes_on_where_its_last_reader_stopped(js):
    await fill(js, 10)
    config = ConsumerConfig(ack_wait=1)
    subscription = await js.subscribe("s.*", durable="d", manual_ack=True, config=config)
    for message in await take(subscription, 4):
        await message.ack_sync(timeout=5)
    await subscription.unsubscribe()
    await until(lambda: unbound(js))
    again = await js.subscribe("s.*", durable="d", manual_ack=True)
    rest = await take(again, 6)
    assert set(numbers(rest)) == set(range(4, 10))


async def unbound(js):
    return not (await js.consumer_info("S", "d")).push_bound


async def test_flow_control_lets_large_messages_through(js):
    await js.add_stream(name="BIG", subjects=["big"], storage="memory")
    for number in range(100):
        await js.publish("big", b"%d " % number + b"x" * 100_000)
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, flow_control=True, idle_heartbeat=1)
    subscription = await js.subscribe("big", config=config)
    assert numbers(await take(subscription, 100)) == list(range(100))


async def test_a_slow_reader_with_flow_control_is_not_cut_off(js):
    await js.add_stream(name="BIG", subjects=["big"], storage="memory")
    for number in range(60):
        await js.publish("big", b"%d " % number + b"x" * 500_000)
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, flow_control=True, idle_heartbeat=0.5)
    subscription = await js.subscribe("big", config=config, pending_bytes_limit=64 << 20)
    seen = []
    while len(seen) < 60:
        message = await subscription.next_msg(timeout=10)
        seen.append(int(message.data.split()[0]))
        await asyncio.sleep(0.005)  # reads slowly: that is what is tested
    assert seen == list(range(60))


async def test_an_ordered_consumer_reads_in_order(js):
    await fill(js, 500)
    subscription = await js.subscribe("s.*", ordered_consumer=True)
    assert numbers(await take(subscription, 500)) == list(range(500))
    await js.publish("s.1", b"500")
    assert numbers(await take(subscription, 1)) == [500]
    info = await subscription.consumer_info()
    assert info.config.flow_control and info.config.mem_storage and info.config.max_deliver == 1


async def test_an_ordered_consumer_starts_anew_when_its_consumer_is_gone(js):
    await fill(js, 5)
    subscription = await js.subscribe("s.*", ordered_consumer=True, idle_heartbeat=0.5)
    assert numbers(await take(subscription, 5)) == list(range(5))
    info = await subscription.consumer_info()
    await js.delete_consumer("S", info.name)
    await js.publish("s.1", b"5")
    assert numbers(await take(subscription, 1, timeout=20)) == [5]


async def test_an_ordered_consumer_reads_on_behind_a_kill(petiole, client):
    server = petiole(jetstream=True)
    js = (await client(server, max_reconnect_attempts=-1, reconnect_time_wait=0.05)).jetstream()
    await js.add_stream(name="S", subjects=["s.*"])
    await fill(js, 300)
    subscription = await js.subscribe("s.*", ordered_consumer=True, idle_heartbeat=0.5)
    assert numbers(await take(subscription, 300)) == list(range(300))
    server.kill()
    await asyncio.to_thread(server.start)
    # It has no consumer any more, which it learns from heartbeats that do not come.
    await fill((await client(server)).jetstream(), 300)
    assert numbers(await take(subscription, 300, timeout=20)) == list(range(300))
    await js.publish("s.1", b"300")
    message = await subscription.next_msg(timeout=20)
    assert (message.data, message.metadata.sequence.stream) == (b"300", 601)


async def test_heartbeats_name_the_last_message(js):
    await fill(js, 3)
    nc = js._nc
    inbox = await nc.subscribe("hb")
    await js.add_consumer("S", ConsumerConfig(deliver_subject="hb", ack_policy=AckPolicy.NONE, idle_heartbeat=0.2, filter_subject="s.0"))
    message = await inbox.next_msg(timeout=5)
    while not (message.headers or {}).get("Status"):
        message = await inbox.next_msg(timeout=5)
    # Two did not match: the consumer stands behind them all the same.
    assert (message.headers["Nats-Last-Consumer"], message.headers["Nats-Last-Stream"]) == ("1", "3")


async def test_a_watcher_for_the_last_message_of_each_subject(js):
    await fill(js, 30)
    subscription = await js.subscribe("s.*", ordered_consumer=True, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)
    assert numbers(await take(subscription, 3)) == [27, 28, 29]
