"""Publishing into streams: acknowledgements, duplicates, expectations."""

import asyncio
import json

import pytest
from nats.js.errors import APIError, NoStreamResponseError

pytestmark = pytest.mark.smoke


@pytest.fixture
async def js(petiole, client):
    js = (await client(petiole(jetstream=True))).jetstream()
    await js.add_stream(name="S", subjects=["s.>"])
    return js


async def refused(awaitable):
    with pytest.raises(APIError) as error:
        await awaitable
    return error.value


async def test_an_ack_names_stream_and_sequence(js):
    reply = await js._nc.request("s.a", b"x", timeout=5)
    assert json.loads(reply.data) == {"stream": "S", "seq": 1}


async def test_many_in_flight_are_acknowledged_in_order(js):
    acks = await asyncio.gather(*(js.publish("s.a", b"%d" % n) for n in range(2000)))
    assert [ack.seq for ack in acks] == list(range(1, 2001))


async def test_a_message_id_is_stored_once(js):
    first = await js.publish("s.a", b"1", headers={"Nats-Msg-Id": "id-1"})
    second = await js.publish("s.a", b"1", headers={"Nats-Msg-Id": "id-1"})
    other = await js.publish("s.a", b"2", headers={"Nats-Msg-Id": "id-2"})
    assert (first.seq, first.duplicate) == (1, None)
    assert (second.seq, second.duplicate) == (1, True)
    assert other.seq == 2
    assert (await js.stream_info("S")).state.messages == 2


async def test_a_message_id_is_remembered_over_a_kill(petiole, client):
    server = petiole(jetstream=True)
    js = (await client(server)).jetstream()
    await js.add_stream(name="S", subjects=["s.>"])
    await js.publish("s.a", b"1", headers={"Nats-Msg-Id": "id-1"})
    server.kill()
    server.start()
    js = (await client(server)).jetstream()
    assert (await js.publish("s.a", b"1", headers={"Nats-Msg-Id": "id-1"})).duplicate


async def test_a_message_id_is_forgotten_after_the_window(petiole, client):
    js = (await client(petiole(jetstream=True))).jetstream()
    await js.add_stream(name="W", subjects=["w"], duplicate_window=0.2)
    await js.publish("w", b"1", headers={"Nats-Msg-Id": "id"})
    for _ in range(100):
        if not (await js.publish("w", b"1", headers={"Nats-Msg-Id": "id"})).duplicate:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("still a duplicate long after the window")


async def test_expected_stream(js):
    assert (await refused(js.publish("s.a", b"", stream="OTHER"))).err_code == 10060
    assert (await js.publish("s.a", b"", stream="S")).seq == 1


async def test_expected_last_sequence(js):
    await js.publish("s.a", b"")
    error = await refused(js.publish("s.a", b"", headers={"Nats-Expected-Last-Sequence": "0"}))
    assert error.err_code == 10071 and error.description == "wrong last sequence: 1"
    assert (await js.publish("s.a", b"", headers={"Nats-Expected-Last-Sequence": "1"})).seq == 2


async def test_expected_last_sequence_of_the_subject(js):
    await js.publish("s.a", b"")
    await js.publish("s.b", b"")
    header = "Nats-Expected-Last-Subject-Sequence"
    assert (await refused(js.publish("s.a", b"", headers={header: "2"}))).err_code == 10071
    assert (await js.publish("s.a", b"", headers={header: "1"})).seq == 3
    assert (await js.publish("s.new", b"", headers={header: "0"})).seq == 4


async def test_expected_last_message_id(js):
    await js.publish("s.a", b"", headers={"Nats-Msg-Id": "one"})
    error = await refused(js.publish("s.a", b"", headers={"Nats-Expected-Last-Msg-Id": "zero"}))
    assert error.err_code == 10070
    assert (await js.publish("s.a", b"", headers={"Nats-Expected-Last-Msg-Id": "one"})).seq == 2


async def test_a_subject_of_no_stream_gets_no_ack(js):
    with pytest.raises(NoStreamResponseError):
        await js.publish("nowhere", b"", timeout=2)
    await js.add_stream(name="N", subjects=["nowhere"])
    assert (await js.publish("nowhere", b"", timeout=2)).stream == "N"


async def test_a_publish_without_reply_is_stored_and_still_delivered(js):
    nc = js._nc
    subscription = await nc.subscribe("s.live")
    await nc.publish("s.live", b"x")
    assert (await subscription.next_msg(2)).data == b"x"
    assert (await js.get_last_msg("S", "s.live")).data == b"x"
