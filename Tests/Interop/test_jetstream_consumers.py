"""Pull consumers: fetching, the acknowledgement verbs, redelivery, limits, restarts."""

import asyncio
import json

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

pytestmark = pytest.mark.smoke


@pytest.fixture
async def js(petiole, client):
    js = (await client(petiole(jetstream=True))).jetstream()
    await filled(js)
    return js


async def filled(js, count=10):
    await js.add_stream(name="S", subjects=["s.*"])
    await asyncio.gather(*(js.publish(f"s.{n % 2}", b"%d" % n) for n in range(count)))


async def pull(js, name="c", **config):
    config = ConsumerConfig(durable_name=name, ack_policy=config.pop("ack_policy", AckPolicy.EXPLICIT), **config)
    await js.add_consumer("S", config)
    return await js.pull_subscribe_bind(name, "S")


async def until_info(js, condition, name="c"):
    for _ in range(200):
        info = await js.consumer_info("S", name)
        if condition(info):
            return info
        await asyncio.sleep(0.02)
    raise AssertionError(f"consumer never got there: {info}")


async def test_fetch_and_ack_all(js):
    consumer = await pull(js)
    messages = await consumer.fetch(10, timeout=5)
    assert [message.data for message in messages] == [b"%d" % n for n in range(10)]
    metadata = messages[3].metadata
    assert (metadata.stream, metadata.consumer, metadata.sequence.stream, metadata.sequence.consumer) == ("S", "c", 4, 4)
    assert (metadata.num_delivered, metadata.num_pending) == (1, 6)
    for message in messages:
        await message.ack()
    info = await until_info(js, lambda info: info.num_ack_pending == 0)
    assert (info.ack_floor.stream_seq, info.num_pending, info.num_redelivered) == (10, 0, 0)


async def test_ack_sync_is_confirmed(js):
    consumer = await pull(js)
    (message,) = await consumer.fetch(1, timeout=5)
    await message.ack_sync(timeout=5)
    assert (await js.consumer_info("S", "c")).ack_floor.stream_seq == 1


async def test_nak_delivers_again_at_once(js):
    consumer = await pull(js)
    (message,) = await consumer.fetch(1, timeout=5)
    await message.nak()
    counts = {}
    while counts.get(b"0") != 2:
        for message in await consumer.fetch(1, timeout=5):
            counts[message.data] = message.metadata.num_delivered
    assert set(counts.values()) <= {1, 2}


async def test_nak_with_a_delay_waits(js):
    consumer = await pull(js)
    (message,) = await consumer.fetch(1, timeout=5)
    await message.nak(delay=0.4)
    first = await consumer.fetch(1, timeout=5)
    assert first[0].data == b"1"
    await first[0].ack()
    rest = []
    while b"0" not in rest:
        for message in await consumer.fetch(1, timeout=5):
            rest.append(message.data)
            await message.ack()


async def test_term_never_delivers_again(js):
    consumer = await pull(js, ack_wait=0.3, max_ack_pending=1)
    (message,) = await consumer.fetch(1, timeout=5)
    await message.term()
    assert (await consumer.fetch(1, timeout=5))[0].data == b"1"


async def test_in_progress_puts_off_redelivery(js):
    consumer = await pull(js, ack_wait=0.6, max_ack_pending=1)
    (message,) = await consumer.fetch(1, timeout=5)
    for _ in range(4):
        await asyncio.sleep(0.3)  # passes the time that in-progress extends
        await message.in_progress()
    info = await js.consumer_info("S", "c")
    assert info.num_redelivered == 0 and info.num_ack_pending == 1
    await message.ack_sync(timeout=5)


async def test_what_is_not_acked_in_time_is_redelivered(js):
    consumer = await pull(js, ack_wait=0.3)
    first = await consumer.fetch(2, timeout=5)
    await first[1].ack()
    again = await consumer.fetch(9, timeout=5)
    while not any(message.data == b"0" for message in again):
        again += await consumer.fetch(1, timeout=5)
    redelivered = next(message for message in again if message.data == b"0")
    assert redelivered.metadata.num_delivered == 2


async def test_max_deliver_gives_up(js):
    consumer = await pull(js, ack_wait=0.2, max_deliver=2, filter_subject="s.0", max_ack_pending=1)
    for attempt in (1, 2):
        (message,) = await consumer.fetch(1, timeout=5)
        assert message.data == b"0" and message.metadata.num_delivered == attempt
    assert (await consumer.fetch(1, timeout=5))[0].data == b"2"


async def test_max_ack_pending_holds_back(js):
    consumer = await pull(js, max_ack_pending=3)
    messages = await consumer.fetch(10, timeout=0.5)
    assert len(messages) == 3
    await messages[0].ack()
    assert [message.data for message in await consumer.fetch(10, timeout=0.5)] == [b"3"]


async def test_a_filter_selects(js):
    consumer = await pull(js, filter_subject="s.1")
    assert [message.data for message in await consumer.fetch(10, timeout=0.5)] == [b"1", b"3", b"5", b"7", b"9"]


@pytest.mark.parametrize(
    "policy, options, expected",
    [
        (DeliverPolicy.ALL, {}, b"0"),
        (DeliverPolicy.LAST, {}, b"9"),
        (DeliverPolicy.BY_START_SEQUENCE, {"opt_start_seq": 5}, b"4"),
        (DeliverPolicy.NEW, {}, b"new"),
    ],
)
async def test_where_delivery_begins(js, policy, options, expected):
    consumer = await pull(js, deliver_policy=policy, **options)
    await js.publish("s.0", b"new")
    assert (await consumer.fetch(1, timeout=5))[0].data == expected


async def test_a_waiting_fetch_is_served_by_a_later_publish(js):
    consumer = await pull(js, deliver_policy=DeliverPolicy.NEW)
    waiting = asyncio.create_task(consumer.fetch(1, timeout=10))
    await until_info(js, lambda info: info.num_waiting == 1)
    await js.publish("s.0", b"late")
    assert (await waiting)[0].data == b"late"


async def test_an_empty_fetch_times_out(js):
    consumer = await pull(js, deliver_policy=DeliverPolicy.NEW)
    with pytest.raises(nats.errors.TimeoutError):
        await consumer.fetch(1, timeout=0.3)


async def test_no_wait_answers_404_when_there_is_nothing(js):
    await pull(js, deliver_policy=DeliverPolicy.NEW)
    nc = js._nc
    inbox = await nc.subscribe("inbox")
    await nc.publish("$JS.API.CONSUMER.MSG.NEXT.S.c", json.dumps({"batch": 1, "no_wait": True}).encode(), reply="inbox")
    status = await inbox.next_msg(2)
    assert status.headers["Status"] == "404"


async def test_ack_none_and_ack_all(js):
    none = await pull(js, "none", ack_policy=AckPolicy.NONE)
    assert len(await none.fetch(5, timeout=5)) == 5
    assert (await js.consumer_info("S", "none")).num_ack_pending == 0
    everything = await pull(js, "all", ack_policy=AckPolicy.ALL)
    messages = await everything.fetch(5, timeout=5)
    await messages[3].ack()
    await until_info(js, lambda info: info.ack_floor.stream_seq == 4 and info.num_ack_pending == 1, "all")


async def test_an_ephemeral_consumer_goes_when_it_is_not_used(js):
    info = await js.add_consumer("S", ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, inactive_threshold=0.3))
    assert info.name
    for _ in range(200):
        if not await js.consumers_info("S"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the consumer is still there")


async def test_list_and_delete(js):
    await pull(js, "one")
    await pull(js, "two")
    assert sorted(info.name for info in await js.consumers_info("S")) == ["one", "two"]
    assert await js.delete_consumer("S", "one")
    with pytest.raises(nats.js.errors.NotFoundError) as gone:
        await js.consumer_info("S", "one")
    assert gone.value.err_code == 10014


async def test_two_pullers_share_the_work(js):
    consumer = await pull(js)
    other = await js.pull_subscribe_bind("c", "S")
    got = await asyncio.gather(consumer.fetch(5, timeout=5), other.fetch(5, timeout=5))
    assert sorted(int(message.data) for part in got for message in part) == list(range(10))


async def test_acks_survive_a_kill_and_nothing_unacked_is_lost(petiole, client):
    server = petiole(jetstream=True)
    js = (await client(server)).jetstream()
    await filled(js, 100)
    consumer = await pull(js, ack_wait=1)
    acked = set()
    for message in await consumer.fetch(50, timeout=5):
        if int(message.data) % 5:
            await message.ack_sync(timeout=5)
            acked.add(int(message.data))
    server.kill()
    server.start()
    js = (await client(server)).jetstream()
    consumer = await js.pull_subscribe_bind("c", "S")
    seen = set()
    while seen | acked != set(range(100)):
        for message in await consumer.fetch(20, timeout=10):
            await message.ack_sync(timeout=5)
            seen.add(int(message.data))
    info = await until_info(js, lambda info: info.num_ack_pending == 0)
    assert info.ack_floor.stream_seq == 100
