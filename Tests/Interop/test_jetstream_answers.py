"""What clients read out of JetStream's answers beside the messages: sizes to the byte, times, counts of requests, pages of long lists,
headers as they were sent, and requests that nobody answers. Asked of the agent and of a real server of the same run.
"""

import asyncio
import base64
import json
import re
from datetime import datetime, timedelta, timezone

import nats
import pytest

from jetstreampair import Both
from rawclient import RawClient


@pytest.fixture
def pair(petiole, hub):
    """The agent and a real server, both with JetStream."""
    return petiole(jetstream=True), hub(jetstream=True, leaf=False)


@pytest.fixture
async def both(pair, client):
    return Both(*[await client(server) for server in pair])


async def api(nc, subject, body=None):
    reply = await nc.request(f"$JS.API.{subject}", b"" if body is None else json.dumps(body).encode(), timeout=5)
    return json.loads(reply.data)


async def kept(nc, stream="S"):
    """What of a stream's state says how much there is."""
    state = (await api(nc, f"STREAM.INFO.{stream}"))["state"]
    return {key: state[key] for key in ("messages", "bytes", "first_seq", "last_seq")}


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_sizes_are_those_of_nats_server_to_the_byte(both, storage):
    """Limits in bytes hold as many messages on both only when a message counts the same."""

    async def sizes(nc):
        account = await api(nc, "INFO")
        return await kept(nc), account["memory"], account["storage"]

    await both.ask("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "storage": storage, "max_msgs_per_subject": 3})
    for subject, body, headers in [
        ("s.a", "", None), ("s.a", "x", None), ("s.a.longer.subject", "x" * 1000, None), ("s.b", "", {"K": "v"}),
        ("s.b", "body", {"K": "v", "Long-Name": "y" * 300}), ("s.c", "x", {"Nats-Msg-Id": "one"}), ("s.c", "x", {"Nats-Msg-Id": "one"}),
        ("s.a", "third", None), ("s.a", "pushes the first out", None), ("s.big", "z" * 200_000, None),
    ]:  # fmt: skip
        await both.put(subject, body, headers)
        await both.alike(sizes, f"after {subject} {headers}")
    await both.ask("STREAM.MSG.DELETE.S", {"seq": 3})
    await both.alike(sizes, "after a deletion")
    await both.ask("STREAM.PURGE.S", {"filter": "s.b"})
    await both.alike(sizes, "after a purge by subject")
    await both.ask("STREAM.CREATE.L", {"name": "L", "subjects": ["l"], "storage": storage, "max_bytes": 128})
    for number in range(9):
        await both.put("l", "x" * (number * 7))
        assert 0 < (await both.alike(lambda nc: kept(nc, "L"), f"within 128 bytes after {number + 1}"))["bytes"] <= 128
    await both.ask("STREAM.PURGE.S")
    await both.ask("STREAM.DELETE.L")
    state, *account = await both.alike(sizes, "at the end")
    assert (state["bytes"], *account) == (0, 0, 0)


async def test_the_account_counts_requests_and_errors(both):
    async def counted(nc):
        return (await api(nc, "INFO"))["api"]

    before = await both.alike(counted)
    for subject, body in [
        ("STREAM.CREATE.S", {"name": "S"}), ("STREAM.CREATE.S", {"name": "other"}), ("STREAM.INFO.none", None), ("STREAM.NAMES", None),
        ("CONSUMER.CREATE.S.c", {"stream_name": "S", "config": {"name": "c"}}), ("CONSUMER.INFO.S.none", None), ("STREAM.MSG.GET.S", {"seq": 9}),
        ("STREAM.PURGE.S", "{"),
    ]:  # fmt: skip
        await both.ask(subject, body)
    after = await both.alike(counted)
    assert after["total"] > before["total"] and after["errors"] > before["errors"]


async def test_long_lists_come_in_pages(both):
    count = 300

    async def fill(nc):
        await api(nc, "STREAM.CREATE.T000", {"name": "T000", "storage": "memory"})
        await asyncio.gather(*(api(nc, f"STREAM.CREATE.T{n:03}", {"name": f"T{n:03}", "storage": "memory"}) for n in range(1, count)))
        config = {"ack_policy": "none", "mem_storage": True, "inactive_threshold": 60_000_000_000}
        for n in range(count):
            await nc.publish(f"$JS.API.CONSUMER.CREATE.T000.c{n:03}", json.dumps({"stream_name": "T000", "config": {"name": f"c{n:03}", **config}}).encode())
        await nc.flush()

    await asyncio.gather(*(fill(nc) for nc in both.connections))

    async def pages(nc):
        seen = []
        for subject, key in (("STREAM.LIST", "streams"), ("STREAM.NAMES", "streams"), ("CONSUMER.LIST.T000", "consumers"), ("CONSUMER.NAMES.T000", "consumers")):
            names = set()
            for offset in (0, 256, 299, 300, 1000):
                page = await api(nc, subject, {"offset": offset})
                found = [one if isinstance(one, str) else one.get("name") or one["config"]["name"] for one in page[key] or []]
                seen.append((subject, offset, page[key] is None, len(found), page["total"], page["limit"], page["offset"]))
                names.update(found)
            assert len(names) == count, f"{subject}: {len(names)}"
        return seen

    seen = await both.alike(pages)
    assert ("STREAM.LIST", 256, False, 44, 300, 256, 256) in seen


async def heard_of(nc, subject, body=b"", wait=1):
    """The answer to a request, or how there is none."""
    try:
        return json.loads((await nc.request(subject, body, timeout=wait)).data or "{}")
    except (nats.errors.TimeoutError, asyncio.TimeoutError):
        return "silence"
    except nats.errors.NoRespondersError:
        return "no responders"


async def test_names_that_no_subject_can_hold_and_streams_that_are_not_there(both):
    await both.ask("STREAM.CREATE.S", {"name": "S"})
    requests = {
        **{f"STREAM.{verb}.{name}": b"" for verb in ("INFO", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT") for name in ("a.b", "*", "S.")},
        **{f"STREAM.{verb}.a.b": b'{"name":"a.b"}' for verb in ("CREATE", "UPDATE")},
        **{f"STREAM.{verb}.": b'{"name":""}' for verb in ("CREATE", "UPDATE")},
        **{f"STREAM.{verb}": b"" for verb in ("CREATE", "INFO", "DELETE")},
        **{f"CONSUMER.{verb}.S.a.b": b"" for verb in ("INFO", "DELETE", "PAUSE", "RESET", "MSG.NEXT")},
        **{f"CONSUMER.DURABLE.CREATE.{name}": b'{"stream_name":"S","config":{"durable_name":"a.b"}}' for name in ("S", "S.a.b", "S.a.b.c")},
        **{f"CONSUMER.{verb}": b"" for verb in ("DURABLE.CREATE", "MSG", "MSG.NEXT", "MSG.NEXT.S", "MSG.NEXT.S.a.b.c", "MSG.OTHER.S.a", "NAMES")},
        "CONSUMER.NAMES.S.a": b"", "CONSUMER.LIST.a.b": b"", "CONSUMER.CREATE": b"", "CONSUMER.MSG.NEXT.S.nobody": b"",
        "DIRECT.GET.none": b'{"seq":1}', "DIRECT.GET.none.S": b"", "DIRECT.GET.S": b'{"seq":1}', "DIRECT.GET.a.b.c": b"",
        "DIRECT.GET": b"", "DIRECT": b"", "STREAM.UNKNOWN.S": b"", "NOTHING": b"",
    }  # fmt: skip

    async def all_of(nc):
        async def ask(subject, body):
            answer = await heard_of(nc, f"$JS.API.{subject}", body)
            return answer if isinstance(answer, str) else answer.get("error", {}).get("err_code")

        return dict(zip(requests, await asyncio.gather(*(ask(*request) for request in requests.items())), strict=True))

    answers = await both.alike(all_of)
    assert {"silence", "no responders"} <= set(answers.values())


HEADERS = {
    "several values": b"NATS/1.0\r\nMany: one\r\nMany: two\r\nOther: x\r\nMany: three\r\n\r\n",
    "names as they are": b"NATS/1.0\r\nlower-case:1\r\nUPPER:2\r\nMi-Xed: 3\r\n\r\n",
    "spaces": b"NATS/1.0\r\n  AAA-AAA  :      a          \r\n B B B :               \r\nEmpty:\r\n\r\n",
    "no name": b"NATS/1.0\r\n: \r\n\r\n",
    "not UTF-8": b"NATS/1.0\r\nBytes: \xff\xfe\x80\r\n\r\n",
    "nothing": b"NATS/1.0\r\n\r\n",
    "ours from elsewhere": b"NATS/1.0\r\nNats-Sequence: 99\r\nNats-Stream: X\r\n\r\n",
}


def test_headers_come_back_as_they_were_sent(pair):
    """Read by sequence, directly, delivered, and published again: the same bytes as from nats-server, whose client libraries take them apart."""

    def told(server):
        with RawClient(server.port) as raw, RawClient(server.port) as listener:
            for each in (raw, listener):
                each.connect(headers=True, no_responders=True)
            listener.send("SUB again.> 1\r\n")
            listener.flush()

            def message(client):
                return client.exactly(int(client.line().split()[-1]) + 2)[:-2]

            def request(subject, body=b"", headers=b""):
                verb = b"HPUB %s inbox %d %d" % (subject.encode(), len(headers), len(headers) + len(body)) if headers else b"PUB %s inbox %d" % (subject.encode(), len(body))
                raw.send(verb + b"\r\n" + headers + body + b"\r\n")
                return message(raw)

            raw.send("SUB inbox 1\r\n")
            request("$JS.API.STREAM.CREATE.S", b'{"name":"S","subjects":["s.>"],"allow_direct":true,"republish":{"src":">","dest":"again.>"}}')
            request("$JS.API.CONSUMER.CREATE.S.c", b'{"stream_name":"S","config":{"name":"c"}}')
            request("$JS.API.CONSUMER.CREATE.S.heads", b'{"stream_name":"S","config":{"name":"heads","headers_only":true}}')
            seen = []
            for number, headers in enumerate(HEADERS.values(), 1):
                assert b'"seq":%d' % number in request(f"s.{number}", b"body", headers)
                stored = json.loads(request("$JS.API.STREAM.MSG.GET.S", b'{"seq":%d}' % number))["message"]
                marked = [re.sub(rb"(Stamp: ).*?\r", rb"\1\r", each) for each in (request("$JS.API.DIRECT.GET.S", b'{"seq":%d}' % number), message(listener))]
                seen.append([
                    base64.b64decode(stored.get("hdrs", "")), base64.b64decode(stored["data"]), *marked,
                    request("$JS.API.CONSUMER.MSG.NEXT.S.c", b"1"), request("$JS.API.CONSUMER.MSG.NEXT.S.heads", b"1"),
                ])  # fmt: skip
            return seen

    ours, theirs = (told(server) for server in pair)
    for name, mine, reference in zip(HEADERS, ours, theirs, strict=True):
        assert mine == reference, f"{name}\nours: {mine}\nreal: {reference}"
        assert HEADERS[name] in (mine[0], b"NATS/1.0\r\n\r\n"), name


def moment(text):
    """A time in an answer. Nanoseconds are cut: Python has none."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z", text)
    assert match, text
    return datetime.fromisoformat(match[1]).replace(tzinfo=timezone.utc) + timedelta(seconds=float(match[2] or 0))


async def test_times_are_those_when_it_happened_and_stay(pair, client):
    for server in pair:
        begin = datetime.now(timezone.utc) - timedelta(milliseconds=1)
        nc = await client(server)
        made = await api(nc, "STREAM.CREATE.S", {"name": "S", "subjects": ["s"], "allow_direct": True})
        consumer = await api(nc, "CONSUMER.CREATE.S.c", {"stream_name": "S", "config": {"durable_name": "c", "ack_policy": "explicit"}})
        for number in range(3):
            await nc.request("s", b"%d" % number, timeout=5)
        info = await api(nc, "STREAM.INFO.S")
        times = [info["state"]["first_ts"]]
        for sequence in (2, 3):
            message = (await api(nc, "STREAM.MSG.GET.S", {"seq": sequence}))["message"]
            direct = await nc.request("$JS.API.DIRECT.GET.S", b'{"seq":%d}' % sequence, timeout=5)
            assert direct.headers["Nats-Time-Stamp"] == message["time"]
            times.append(message["time"])
        assert info["state"]["last_ts"] == times[-1]
        inbox = await nc.subscribe("inbox")
        await nc.publish("$JS.API.CONSUMER.MSG.NEXT.S.c", b"1", reply="inbox")
        delivered = await inbox.next_msg(timeout=5)
        nanoseconds = int(delivered.reply.split(".")[-2])
        assert abs(moment(times[0]) - datetime.fromtimestamp(nanoseconds / 1e9, timezone.utc)) < timedelta(microseconds=2)
        end = datetime.now(timezone.utc) + timedelta(milliseconds=1)
        order = [begin, moment(made["created"]), moment(consumer["created"]), *map(moment, times), moment(info["ts"]), end]
        assert order == sorted(order), server.name
        server.kill()
        server.start()
        nc = await client(server)
        again = await api(nc, "STREAM.INFO.S")
        assert (again["created"], again["state"]["first_ts"], again["state"]["last_ts"]) == (made["created"], times[0], times[-1]), server.name
        assert (await api(nc, "CONSUMER.INFO.S.c"))["created"] == consumer["created"], server.name
        assert moment(again["ts"]) > end - timedelta(milliseconds=1)
