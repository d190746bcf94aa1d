"""Mirrors and sources: between local streams, and over the leaf in both directions, whatever breaks in between."""

import asyncio
import json
import os

import nats
import pytest
from nats.js.api import StreamSource

from delayproxy import DelayProxy
from waiting import until, until_linked

# More hubs to try beside the one that is installed: nats-server binaries, separated by colons.
HUBS = [binary for binary in os.environ.get("HUB_BINARIES", "").split(":") if binary]


async def api(nc, subject, body=None, prefix="$JS.API"):
    """One answer of the JetStream API; its error is part of it."""
    message = await nc.request(f"{prefix}.{subject}", json.dumps(body).encode() if body is not None else b"", timeout=10)
    return json.loads(message.data)


async def make(nc, config):
    answer = await api(nc, f"STREAM.CREATE.{config['name']}", config)
    assert "error" not in answer, answer
    return answer


async def info(nc, stream):
    return await api(nc, f"STREAM.INFO.{stream}")


async def until_held(nc, stream, count, seconds=20):
    async def enough():
        answer = await info(nc, stream)
        return answer.get("state", {}).get("messages", 0) >= count and answer

    return await until(enough, seconds, f"{count} messages in {stream}", every=0.05)


async def messages(nc, stream):
    """[(sequence, subject, data, headers)] of a whole stream."""
    js = nc.jetstream()
    state = (await info(nc, stream))["state"]
    found = []
    for sequence in range(state["first_seq"], state["last_seq"] + 1):
        try:
            message = await js.get_msg(stream, sequence)
        except nats.js.errors.NotFoundError:
            continue
        found.append((message.seq, message.subject, (message.data or b"").decode(), message.headers or {}))
    return found


async def publish(nc, subject, first, count):
    js = nc.jetstream()
    for start in range(first, first + count, 200):
        await asyncio.gather(*(js.publish(subject, str(n).encode()) for n in range(start, min(start + 200, first + count))))


@pytest.mark.smoke
async def test_a_mirror_keeps_sequences_times_and_gaps(petiole, client):
    nc = await client(petiole(jetstream=True))
    await make(nc, {"name": "MM", "subjects": ["mm.*"], "allow_direct": True})
    await publish(nc, "mm.1", 0, 5)
    assert (await api(nc, "STREAM.MSG.DELETE.MM", {"seq": 3}))["success"]
    made = await make(nc, {"name": "MIR", "mirror": {"name": "MM"}})
    assert made["mirror"] == {"name": "MM", "lag": 0, "active": -1} and made["config"]["mirror_direct"]
    await until_held(nc, "MIR", 4)
    await publish(nc, "mm.2", 5, 2)
    mirrored = await until_held(nc, "MIR", 6)
    assert await messages(nc, "MIR") == await messages(nc, "MM")
    origin = await info(nc, "MM")
    for key in ("messages", "first_seq", "last_seq", "first_ts", "last_ts", "num_subjects", "num_deleted"):
        assert mirrored["state"][key] == origin["state"][key], key
    assert mirrored["mirror"]["name"] == "MM" and mirrored["mirror"]["lag"] == 0 and mirrored["mirror"]["active"] >= 0
    assert origin["state"]["consumer_count"] == 0 and (await api(nc, "CONSUMER.NAMES.MM"))["consumers"] == []


async def test_sources_filter_transform_and_say_where_from(petiole, client):
    nc = await client(petiole(jetstream=True))
    await make(nc, {"name": "MM", "subjects": ["mm.*"]})
    await make(nc, {"name": "DO", "subjects": ["do.*"]})
    await make(
        nc,
        {
            "name": "SRC",
            "subjects": ["src.x"],
            "sources": [
                {"name": "MM", "filter_subject": "mm.1"},
                {"name": "DO", "subject_transforms": [{"src": "do.*", "dest": "tdo.{{wildcard(1)}}"}]},
            ],
        },
    )
    js = nc.jetstream()
    await js.publish("mm.2", b"not this")
    await js.publish("mm.1", b"this", headers={"A": "b", "Nats-Expected-Stream": "MM"})
    await js.publish("do.3", b"that")
    await js.publish("src.x", b"own")
    held = await until_held(nc, "SRC", 3)
    by_subject = {subject: (data, headers) for _, subject, data, headers in await messages(nc, "SRC")}
    assert set(by_subject) == {"mm.1", "tdo.3", "src.x"}
    data, headers = by_subject["mm.1"]
    assert data == "this" and headers["A"] == "b" and "Nats-Expected-Stream" not in headers
    assert headers["Nats-Stream-Source"].split(" ")[:5] == ["MM", "2", "mm.1", ">", "mm.1"]
    assert len(headers["Nats-Stream-Source"].split(" ")) == 6
    assert by_subject["tdo.3"][1]["Nats-Stream-Source"].split(" ")[:5] == ["DO", "1", "do.*", "tdo.{{wildcard(1)}}", "do.3"]
    shown = {source["name"]: source for source in held["sources"]}
    assert (shown["MM"]["lag"], shown["MM"]["filter_subject"], shown["MM"]["seq"]) == (0, "mm.1", 2)
    assert shown["DO"]["subject_transforms"] == [{"src": "do.*", "dest": "tdo.{{wildcard(1)}}"}]


async def test_a_mirror_of_nothing_says_so_and_starts_when_the_origin_comes(petiole, client):
    nc = await client(petiole(jetstream=True))
    await make(nc, {"name": "MIR2", "mirror": {"name": "NOTYET"}})

    async def failed():
        return (await info(nc, "MIR2"))["mirror"].get("error")

    assert await until(failed, what="the error") == {"code": 404, "err_code": 10059, "description": "stream not found"}
    await make(nc, {"name": "NOTYET", "subjects": ["ny"]})
    await nc.jetstream().publish("ny", b"1")
    held = await until_held(nc, "MIR2", 1, seconds=30)
    assert "error" not in held["mirror"]


async def test_optional_starts_and_promotion(petiole, client):
    nc = await client(petiole(jetstream=True))
    await make(nc, {"name": "MM", "subjects": ["mm.*"]})
    await publish(nc, "mm.1", 0, 10)
    await make(nc, {"name": "MIR", "mirror": {"name": "MM", "opt_start_seq": 7}, "storage": "memory"})
    await make(nc, {"name": "SRC", "sources": [{"name": "MM", "opt_start_time": (await info(nc, "MM"))["state"]["last_ts"]}]})
    assert (await until_held(nc, "MIR", 4))["state"]["first_seq"] == 7
    await until_held(nc, "SRC", 1)
    assert [data for _, _, data, _ in await messages(nc, "SRC")] == ["9"]
    config = (await info(nc, "MIR"))["config"]
    changed = await api(nc, "STREAM.UPDATE.MIR", {**config, "mirror": {"name": "SRC"}})
    assert changed["error"]["err_code"] == 10055
    del config["mirror"]
    promoted = await api(nc, "STREAM.UPDATE.MIR", {**config, "mirror_direct": False, "subjects": ["promoted"]})
    assert "error" not in promoted and "mirror" not in promoted, promoted
    await publish(nc, "mm.1", 10, 1)
    assert (await nc.jetstream().publish("promoted", b"own")).seq == 11
    assert (await info(nc, "MM"))["state"]["last_seq"] == 11


async def test_places_outlive_a_kill_even_when_the_messages_are_gone(agent, client):
    server = agent(jetstream=True).start()
    nc = await client(server)
    await make(nc, {"name": "IN", "subjects": ["in"]})
    await make(nc, {"name": "JOBS", "sources": [{"name": "IN"}], "max_msgs": 1})
    await make(nc, {"name": "ALL", "sources": [{"name": "IN"}]})
    await publish(nc, "in", 0, 500)
    await until_held(nc, "ALL", 500)

    async def all_came():
        return (await info(nc, "JOBS"))["state"]["last_seq"] == 500

    await until(all_came, what="all jobs")
    assert (await api(nc, "STREAM.PURGE.JOBS"))["purged"] == 1
    for last in (501, 502):
        server.kill()
        server.start()
        nc = await client(server)
        await publish(nc, "in", 0, 1)
        for stream in ("ALL", "JOBS"):
            await until(lambda: reaches(nc, stream, last), what=f"message {last} in {stream}")
    assert len({headers["Nats-Stream-Source"] for _, _, _, headers in await messages(nc, "ALL")}) == 502


async def reaches(nc, stream, last):
    now = (await info(nc, stream))["state"]["last_seq"]
    assert now <= last
    return now == last


# Over the leaf.


class Pair:
    """An edge with domain `edge` behind a proxy to a hub with domain `hub`."""

    def __init__(self, edge, hub, proxy):
        self.edge, self.hub, self.proxy = edge, hub, proxy


@pytest.fixture
def pair(servers, agent, hub):
    proxies = []

    def start(binary=None):
        if binary is None:
            upstream = hub(jetstream="domain: hub")
        else:
            upstream = servers(binary, "hub", jetstream="domain: hub", leaf=True).start()
        proxy = DelayProxy(upstream.leaf_port)
        proxies.append(proxy)
        remote = f'leafnodes {{ reconnect: 1s, remotes: [ {{ url: "nats-leaf://127.0.0.1:{proxy.port}" }} ] }}'
        edge = agent(remote, jetstream="domain: edge").start()
        return Pair(edge, upstream, proxy)

    yield start
    for proxy in proxies:
        proxy.close()


@pytest.fixture(params=[None, *HUBS], ids=lambda binary: "hub" if binary is None else os.path.basename(os.path.dirname(binary)))
def linked(request, pair):
    return pair(request.param)


EDGE = {"api": "$JS.edge.API", "deliver": ""}
HUB = {"api": "$JS.hub.API", "deliver": ""}


async def expect_once(nc, stream, count, seconds=30):
    """All of 0 ..< count, each once and in order."""
    await until_held(nc, stream, count, seconds)
    consumer = await nc.jetstream().subscribe("", stream=stream, ordered_consumer=True)
    data = []
    while len(data) < count:
        data.append(int((await consumer.next_msg(10)).data))
    assert data == list(range(count))
    assert (await info(nc, stream))["state"]["messages"] == count


@pytest.mark.smoke
async def test_the_hub_sources_and_mirrors_the_edge(linked, client):
    at_edge, at_hub = await client(linked.edge), await client(linked.hub)
    await make(at_edge, {"name": "READINGS", "subjects": ["sensors.>"]})
    await publish(at_edge, "sensors.1", 0, 300)
    await make(at_hub, {"name": "AGG", "sources": [{"name": "READINGS", "external": EDGE}]})
    await make(at_hub, {"name": "COPY", "mirror": {"name": "READINGS", "external": EDGE}})
    await publish(at_edge, "sensors.1", 300, 300)
    await expect_once(at_hub, "AGG", 600)
    await expect_once(at_hub, "COPY", 600)
    # A short cut: the same consumers go on, or are asked for again at once.
    linked.proxy.cut()
    await publish(at_edge, "sensors.1", 600, 300)
    linked.proxy.restore()
    await expect_once(at_hub, "AGG", 900)
    await expect_once(at_hub, "COPY", 900)


async def test_the_edge_sources_and_mirrors_the_hub(linked, client):
    at_edge, at_hub = await client(linked.edge), await client(linked.hub)
    await make(at_hub, {"name": "COMMANDS", "subjects": ["commands.>"]})
    await publish(at_hub, "commands.1", 0, 300)
    await make(at_edge, {"name": "INBOX", "sources": [{"name": "COMMANDS", "external": HUB, "filter_subject": "commands.1"}]})
    await make(at_edge, {"name": "COPY", "mirror": {"name": "COMMANDS", "external": {**HUB, "deliver": "deliver.edge"}}})
    await expect_once(at_edge, "INBOX", 300)
    await expect_once(at_edge, "COPY", 300)
    linked.proxy.cut()
    await publish(at_hub, "commands.1", 300, 300)
    linked.edge.kill()
    linked.edge.start()
    linked.proxy.restore()
    at_edge = await client(linked.edge)
    await expect_once(at_edge, "INBOX", 600)
    await expect_once(at_edge, "COPY", 600)
    assert await messages(at_edge, "COPY") == await messages(at_hub, "COMMANDS")
    linked.hub.kill()
    linked.hub.start()
    at_hub = await client(linked.hub)
    await publish(at_hub, "commands.1", 600, 100)
    await expect_once(at_edge, "INBOX", 700)
    await expect_once(at_edge, "COPY", 700)


async def test_the_hub_goes_on_where_it_was_when_either_side_is_killed(linked, client):
    at_edge, at_hub = await client(linked.edge), await client(linked.hub)
    await make(at_edge, {"name": "READINGS", "subjects": ["sensors.>"]})
    await make(at_hub, {"name": "AGG", "sources": [{"name": "READINGS", "external": EDGE}]})
    await make(at_hub, {"name": "COPY", "mirror": {"name": "READINGS", "external": EDGE}})
    await publish(at_edge, "sensors.1", 0, 100)
    await expect_once(at_hub, "AGG", 100)
    await expect_once(at_hub, "COPY", 100)
    linked.edge.kill()
    linked.edge.start()
    at_edge = await client(linked.edge)
    await publish(at_edge, "sensors.1", 100, 100)
    await expect_once(at_hub, "AGG", 200)
    await expect_once(at_hub, "COPY", 200)
    linked.hub.kill()
    await publish(at_edge, "sensors.1", 200, 100)
    linked.hub.start()
    at_hub = await client(linked.hub)
    await expect_once(at_hub, "AGG", 300)
    await expect_once(at_hub, "COPY", 300)


async def test_a_work_queue_at_the_edge_is_emptied_without_loss(linked, client):
    at_edge, at_hub = await client(linked.edge), await client(linked.hub)
    await make(at_edge, {"name": "JOBS", "subjects": ["jobs.>"], "retention": "workqueue"})
    await make(at_hub, {"name": "DONE", "sources": [{"name": "JOBS", "external": EDGE}]})
    await publish(at_edge, "jobs.1", 0, 500)
    publishing = asyncio.create_task(publish(at_edge, "jobs.1", 500, 2000))

    async def moving():
        return (await info(at_hub, "DONE"))["state"]["messages"] > 600

    await until(moving, 20, "jobs on their way", every=0.005)
    linked.proxy.cut()
    await publishing
    linked.edge.kill()
    linked.edge.start()
    linked.proxy.restore()
    at_edge = await client(linked.edge)
    await publish(at_edge, "jobs.1", 2500, 100)
    await expect_once(at_hub, "DONE", 2600)

    async def emptied():
        return (await info(at_edge, "JOBS"))["state"]["messages"] == 0

    await until(emptied, 20, "an empty queue", every=0.1)


@pytest.mark.ours
async def test_the_hub_goes_on_at_once_after_an_outage_that_made_it_give_up(pair, client):
    linked = pair()
    at_edge, at_hub = await client(linked.edge), await client(linked.hub)
    await make(at_edge, {"name": "READINGS", "subjects": ["sensors.>"]})
    await make(at_edge, {"name": "JOBS", "subjects": ["jobs.>"], "retention": "workqueue"})
    await make(at_hub, {"name": "AGG", "sources": [{"name": "READINGS", "external": EDGE}]})
    await make(at_hub, {"name": "COPY", "mirror": {"name": "READINGS", "external": EDGE}})
    await make(at_hub, {"name": "DONE", "sources": [{"name": "JOBS", "external": EDGE}]})
    for subject in ("sensors.1", "jobs.1"):
        await publish(at_edge, subject, 0, 100)
    for stream in ("AGG", "COPY", "DONE"):
        await expect_once(at_hub, stream, 100)
    linked.proxy.cut()
    for subject in ("sensors.1", "jobs.1"):
        await publish(at_edge, subject, 100, 100)
    # Its consumers are silent for ten to twenty seconds, then it asks for new ones, and waits for answers that cannot come.
    await asyncio.sleep(23)
    linked.proxy.restore()
    await until_linked(linked.hub)
    for stream in ("AGG", "COPY", "DONE"):
        await expect_once(at_hub, stream, 200, seconds=8)
