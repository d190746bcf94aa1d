"""Streams through the JetStream API: life cycle, limits, discard, purge, reading and deleting messages, restarts."""

import asyncio
import json

import nats
import pytest
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import APIError, BadRequestError, NotFoundError

pytestmark = pytest.mark.smoke


@pytest.fixture
async def js(petiole, client):
    return (await client(petiole(jetstream=True))).jetstream()


async def api(nc, subject, body=None):
    reply = await nc.request(f"$JS.API.{subject}", b"" if body is None else json.dumps(body).encode(), timeout=5)
    return json.loads(reply.data)


async def test_account_info_counts_streams_and_consumers(js):
    before = await js.account_info()
    await js.add_stream(name="A", subjects=["a"])
    await js.add_consumer("A", durable_name="c", ack_policy="explicit")
    after = await js.account_info()
    assert (before.streams, after.streams, after.consumers) == (0, 1, 1)


async def test_create_update_info_list_delete(js):
    created = await js.add_stream(name="T", subjects=["t.>"], max_msgs=10)
    assert created.did_create and created.config.max_msgs == 10 and created.state.messages == 0
    again = await js.add_stream(name="T", subjects=["t.>"], max_msgs=10)
    assert again.created == created.created
    with pytest.raises(BadRequestError) as wrong:
        await js.add_stream(name="T", subjects=["other"])
    assert wrong.value.err_code == 10058
    updated = await js.update_stream(name="T", subjects=["t.>", "u"], max_msgs=5)
    assert updated.config.subjects == ["t.>", "u"] and updated.config.max_msgs == 5
    await js.add_stream(name="S", subjects=["s"])
    assert sorted(info.config.name for info in await js.streams_info()) == ["S", "T"]
    assert await js.find_stream_name_by_subject("t.x") == "T"
    assert await js.delete_stream("T")
    with pytest.raises(NotFoundError) as gone:
        await js.stream_info("T")
    assert gone.value.err_code == 10059


async def test_names_are_filtered_by_subject_and_paged(js):
    for index in range(5):
        await js.add_stream(name=f"P{index}", subjects=[f"p{index}.>"])
    nc = js._nc
    assert (await api(nc, "STREAM.NAMES"))["streams"] == [f"P{index}" for index in range(5)]
    assert (await api(nc, "STREAM.NAMES", {"subject": "p3.x"}))["streams"] == ["P3"]
    page = await api(nc, "STREAM.NAMES", {"offset": 3})
    assert page["streams"] == ["P3", "P4"] and page["total"] == 5 and page["offset"] == 3


async def test_overlapping_subjects_are_refused(js):
    await js.add_stream(name="ONE", subjects=["x.>"])
    with pytest.raises(APIError) as overlap:
        await js.add_stream(name="TWO", subjects=["x.y"])
    assert overlap.value.err_code == 10065


async def test_max_msgs_discards_the_oldest(js):
    await js.add_stream(name="OLD", subjects=["o"], max_msgs=3)
    for number in range(10):
        await js.publish("o", b"%d" % number)
    state = (await js.stream_info("OLD")).state
    assert (state.messages, state.first_seq, state.last_seq) == (3, 8, 10)
    assert (await js.get_msg("OLD", 8)).data == b"7"
    with pytest.raises(NotFoundError):
        await js.get_msg("OLD", 7)


async def test_max_bytes_with_discard_new_refuses_what_does_not_fit(js):
    await js.add_stream(StreamConfig(name="NEW", subjects=["n"], max_bytes=4096, discard=DiscardPolicy.NEW))
    accepted = 0
    with pytest.raises(APIError) as full:
        for _ in range(100):
            await js.publish("n", b"x" * 256)
            accepted += 1
    assert full.value.err_code == 10077
    info = await js.stream_info("NEW")
    assert info.state.messages == accepted > 5 and info.state.bytes <= 4096


async def test_max_bytes_with_discard_old_keeps_the_newest_within_the_limit(js):
    await js.add_stream(StreamConfig(name="B", subjects=["b"], max_bytes=10_000))
    for number in range(200):
        await js.publish("b", b"%03d" % number + b"x" * 200)
    state = (await js.stream_info("B")).state
    assert state.bytes <= 10_000 and state.last_seq == 200 and 20 < state.messages < 60
    assert (await js.get_msg("B", state.first_seq)).data[:3] == b"%03d" % (state.first_seq - 1)


async def test_max_msg_size_refuses_a_bigger_message(js):
    await js.add_stream(name="SIZE", subjects=["size"], max_msg_size=100)
    await js.publish("size", b"x" * 100)
    with pytest.raises(APIError) as big:
        await js.publish("size", b"x" * 101)
    assert big.value.err_code == 10054


async def test_purge_all_by_subject_keep_and_sequence(js):
    await js.add_stream(name="P", subjects=["p.*"])

    async def fill():
        for number in range(10):
            await js.publish(f"p.{number % 2}", b"%d" % number)

    await fill()
    assert await js.purge_stream("P", subject="p.0")
    assert (await js.stream_info("P")).state.messages == 5
    await js.purge_stream("P")
    state = (await js.stream_info("P")).state
    assert (state.messages, state.first_seq, state.last_seq) == (0, 11, 10)
    await fill()
    await js.purge_stream("P", keep=3)
    assert (await js.stream_info("P")).state.messages == 3
    await js.purge_stream("P", seq=20)
    assert (await js.stream_info("P")).state.first_seq == 20


async def test_messages_are_read_by_sequence_and_by_last_subject(js):
    await js.add_stream(name="G", subjects=["g.*"])
    await js.publish("g.a", b"1", headers={"Kind": "first"})
    await js.publish("g.b", b"2")
    await js.publish("g.a", b"3")
    first = await js.get_msg("G", 1)
    assert first.subject == "g.a" and first.data == b"1" and first.headers["Kind"] == "first"
    assert (await js.get_last_msg("G", "g.a")).seq == 3
    assert (await js.get_last_msg("G", "g.b")).data == b"2"
    with pytest.raises(NotFoundError):
        await js.get_last_msg("G", "g.zzz")


async def test_a_deleted_message_leaves_a_gap(js):
    await js.add_stream(name="D", subjects=["d"])
    for number in range(3):
        await js.publish("d", b"%d" % number)
    assert await js.delete_msg("D", 2)
    info = await js.stream_info("D")
    assert info.state.messages == 2 and info.state.num_deleted == 1
    with pytest.raises(NotFoundError):
        await js.get_msg("D", 2)


async def test_everything_is_there_after_a_kill(petiole, client):
    server = petiole(jetstream=True)
    nc = await client(server)
    js = nc.jetstream()
    await js.add_stream(name="K", subjects=["k.>"], max_msgs=500)
    await js.add_consumer("K", durable_name="reader", ack_policy="explicit")
    acks = await asyncio.gather(*(js.publish(f"k.{n % 7}", b"%d" % n, headers={"N": str(n)}) for n in range(300)))
    assert [ack.seq for ack in acks] == list(range(1, 301))
    await js.delete_msg("K", 5)
    server.kill()
    server.start()
    js = (await client(server)).jetstream()
    info = await js.stream_info("K")
    assert (info.state.messages, info.state.first_seq, info.state.last_seq) == (299, 1, 300)
    assert info.config.max_msgs == 500 and info.config.subjects == ["k.>"]
    for sequence in (1, 4, 6, 150, 300):
        message = await js.get_msg("K", sequence)
        assert message.data == b"%d" % (sequence - 1) and message.headers["N"] == str(sequence - 1)
    assert (await js.consumer_info("K", "reader")).num_pending == 299
    assert (await js.publish("k.x", b"next")).seq == 301


async def test_a_clean_stop_keeps_everything_too(petiole, client):
    server = petiole(jetstream=True)
    js = (await client(server)).jetstream()
    await js.add_stream(name="C", subjects=["c"])
    for number in range(20):
        await js.publish("c", b"%d" % number)
    assert server.stop() == 0
    server.start()
    js = (await client(server)).jetstream()
    assert (await js.stream_info("C")).state.messages == 20


async def test_the_api_answers_under_its_domain_too(petiole, client):
    nc = await client(petiole(jetstream="domain: gw-7"))
    js = nc.jetstream(domain="gw-7")
    await js.add_stream(name="DOM", subjects=["dom"])
    ack = await js.publish("dom", b"x")
    assert ack.stream == "DOM" and ack.domain == "gw-7"
    assert (await nc.jetstream().stream_info("DOM")).state.messages == 1


async def test_without_jetstream_the_api_says_so(petiole, client):
    nc = await client(petiole())
    with pytest.raises((nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError)):
        await nc.jetstream().account_info()
