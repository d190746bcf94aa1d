"""Stream features answer for answer as nats-server: the same requests go to the agent and to a real server of the same run."""

import json

import pytest

from jetstreampair import Both, text

pytestmark = pytest.mark.smoke


@pytest.fixture
async def both(petiole, hub, client):
    return Both(await client(petiole(jetstream=True)), await client(hub(jetstream=True, leaf=False)))


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_interest(both, storage):
    await both.ask("STREAM.CREATE.I", {"name": "I", "subjects": ["i.>"], "retention": "interest", "storage": storage})
    await both.put("i.a", "nobody", {"Nats-Msg-Id": "1"})
    await both.put("i.a", "nobody", {"Nats-Msg-Id": "1"})
    await both.ask("STREAM.INFO.I")
    for name, more in {"c": {"filter_subject": "i.a"}, "d": {}}.items():
        config = {"durable_name": name, "ack_policy": "explicit", **more}
        await both.ask(f"CONSUMER.DURABLE.CREATE.I.{name}", {"stream_name": "I", "config": config})
    for number in range(4):
        await both.put(f"i.{'ab'[number % 2]}", str(number))
    await both.settle("I", messages=4)
    await both.consume("I", "c", 2)
    await both.settle("I", messages=4)
    await both.consume("I", "d", 3)
    await both.settle("I", messages=1, first_seq=5)
    await both.ask("CONSUMER.DELETE.I.d")
    await both.settle("I", messages=0, first_seq=6)
    await both.ask("STREAM.INFO.I", {"deleted_details": True})


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_workqueue(both, storage):
    await both.ask("STREAM.CREATE.W", {"name": "W", "subjects": ["w.>"], "retention": "workqueue", "storage": storage})
    for number in range(6):
        await both.put(f"w.{'ab'[number % 2]}", str(number))

    def create(name, **config):
        body = {"stream_name": "W", "config": {"durable_name": name, "ack_policy": "explicit", **config}}
        return both.ask(f"CONSUMER.DURABLE.CREATE.W.{name}", body)

    await create("x", ack_policy="none")
    await create("x", ack_policy="all")
    await create("x", deliver_policy="last")
    await create("a", filter_subject="w.a")
    await create("x")
    await create("x", filter_subject="w.>")
    await create("b", filter_subjects=["w.b", "w.c"])
    await create("b", filter_subjects=["w.b", "w.a"])
    await both.consume("W", "a", 2)
    await both.settle("W", messages=4)
    await both.consume("W", "b", 1, ack=b"+TERM")
    await both.settle("W", messages=3)
    await both.ask("CONSUMER.DELETE.W.a")
    await both.settle("W", messages=3)
    await both.ask("STREAM.UPDATE.W", {"name": "W", "subjects": ["w.>"], "retention": "limits"})


async def test_rollups(both):
    await both.ask("STREAM.CREATE.R", {"name": "R", "subjects": ["r.>"], "allow_rollup_hdrs": True})
    for subject in ("r.a.1", "r.a.2", "r.b", "r.a.1", "r.b"):
        await both.put(subject, "x")
    await both.put("r.b", "sum", {"Nats-Rollup": "sub"})
    await both.settle("R", messages=4)
    await both.put("r.a.*", "sum", {"Nats-Rollup": "sub"})
    await both.settle("R", messages=2)
    await both.put("r.b", "x", {"Nats-Rollup": "nonsense"})
    await both.put("r.b", "all", {"Nats-Rollup": "ALL"})
    await both.settle("R", messages=1, first_seq=8)
    await both.ask("STREAM.UPDATE.R", {"name": "R", "subjects": ["r.>"], "deny_purge": True})
    await both.put("r.b", "x", {"Nats-Rollup": "sub"})


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_purges(both, storage):
    await both.ask("STREAM.CREATE.P", {"name": "P", "subjects": ["p.>"], "storage": storage})
    for number in range(30):
        await both.put(f"p.{number % 3}", str(number))
    for body in ({"seq": 1}, {"filter": "p.1", "keep": 3}, {"filter": "p.2", "seq": 10}, {"keep": 15}, {"seq": 20}, {"filter": "none"},
                 {"seq": 4, "keep": 2}, {"filter": "p.*", "keep": 1}, {"seq": 100}, {"seq": 50}, {"filter": "p.0", "seq": 400}, None):
        await both.ask("STREAM.PURGE.P", body)
        await both.ask("STREAM.INFO.P", {"subjects_filter": ">", "deleted_details": True})
    await both.put("p.0", "x")


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_deleting_and_sealing(both, storage):
    await both.ask("STREAM.CREATE.D", {"name": "D", "subjects": ["d"], "storage": storage, "first_seq": 10, "metadata": {"k": "v"}})
    for number in range(5):
        await both.put("d", str(number), {"X": str(number)})
    for body in ({"seq": 11}, {"seq": 12, "no_erase": True}, {"seq": 11}, {"seq": 3}, {"seq": 99}, {}, None, {"sequence": 1}):
        await both.ask("STREAM.MSG.DELETE.D", body)
    await both.ask("STREAM.INFO.D", {"deleted_details": True})
    config = {"name": "D", "subjects": ["d"], "storage": storage, "deny_delete": True, "deny_purge": True}
    await both.ask("STREAM.UPDATE.D", config)
    await both.ask("STREAM.MSG.DELETE.D", {"seq": 13})
    await both.ask("STREAM.PURGE.D")
    await both.ask("STREAM.UPDATE.D", {**config, "deny_delete": False})
    await both.ask("STREAM.UPDATE.D", {**config, "sealed": True})
    await both.put("d", "more")
    await both.ask("STREAM.MSG.DELETE.D", {"seq": 13})
    await both.ask("STREAM.UPDATE.D", config)
    await both.ask("STREAM.MSG.GET.D", {"seq": 13})
    await both.ask("STREAM.DELETE.D")
    await both.ask("STREAM.CREATE.D", {**config, "sealed": True})
    await both.ask("STREAM.CREATE.M", {"name": "M", "metadata": {"k": "v" * (130 << 10)}})


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_limits_per_subject(both, storage):
    config = {"name": "L", "subjects": ["l.>"], "storage": storage, "max_msgs_per_subject": 3}
    await both.ask("STREAM.CREATE.L", config)
    for number in range(20):
        await both.put(f"l.{number % 4}", str(number))
    await both.ask("STREAM.MSG.DELETE.L", {"seq": 14})
    await both.put("l.1", "x")
    await both.put("l.1", "y")
    await both.ask("STREAM.INFO.L", {"subjects_filter": "l.*", "deleted_details": True})
    await both.ask("STREAM.UPDATE.L", {**config, "discard": "new"})
    await both.put("l.0", "gives way")
    await both.ask("STREAM.UPDATE.L", {**config, "discard": "new", "discard_new_per_subject": True})
    await both.put("l.0", "refused")
    await both.put("l.9", "taken")
    await both.ask("STREAM.UPDATE.L", {**config, "max_msgs_per_subject": 1})
    await both.settle("L", messages=5)
    await both.ask("STREAM.INFO.L", {"subjects_filter": "l.*", "deleted_details": True})


async def test_direct_gets(both):
    await both.ask("STREAM.CREATE.G", {"name": "G", "subjects": ["g.>"], "allow_direct": True})
    for number in range(12):
        await both.put(f"g.{number % 4}", str(number), {"X": str(number)})
    await both.ask("STREAM.MSG.DELETE.G", {"seq": 6})
    for body in ({"seq": 3}, {"seq": 6}, {"last_by_subj": "g.2"}, {"last_by_subj": "g.*"}, {"next_by_subj": "g.1"},
                 {"seq": 4, "next_by_subj": "g.1"}, {"seq": 4, "next_by_subj": "g.*"}, {"last_by_subj": "none"}, {},
                 {"seq": 3, "last_by_subj": "g.1"}, {"seq": 3, "no_hdr": True}, {"start_time": "2020-01-01T00:00:00Z"},
                 {"start_time": "2200-01-01T00:00:00Z"}, {"batch": 2, "last_by_subj": "g.1"}, {"seq": 99},
                 {"multi_last": ["g.1"], "last_by_subj": "g.1"}, {"multi_last": ["g.1"], "up_to_seq": 3, "up_to_time": "2200-01-01T00:00:00Z"}):
        await both.many("DIRECT.GET.G", body)
        if "multi_last" not in body:
            await both.ask("STREAM.MSG.GET.G", body)
    for body in ({"batch": 3, "seq": 1}, {"batch": 20, "seq": 4}, {"batch": 2, "next_by_subj": "g.3"}, {"batch": 5, "next_by_subj": "g.3", "seq": 5},
                 {"batch": 3, "start_time": "2020-01-01T00:00:00Z"}, {"batch": 9, "seq": 1, "max_bytes": 60}, {"batch": 2, "next_by_subj": "none"},
                 {"batch": 2, "seq": 90}, {"multi_last": ["g.>"]}, {"multi_last": ["g.1", "g.2", "none"]}, {"multi_last": ["g.*"], "up_to_seq": 7},
                 {"multi_last": ["g.*"], "batch": 2}, {"multi_last": ["g.*"], "seq": 11}, {"multi_last": ["none"]},
                 {"multi_last": ["g.>"], "up_to_time": "2020-01-01T00:00:00Z"}, {"multi_last": ["g.>"], "up_to_time": "2200-01-01T00:00:00Z"}):
        await both.many("DIRECT.GET.G", body)
    await both.ask("DIRECT.GET.G.g.2")
    await both.ask("DIRECT.GET.G.g.2", {"no_hdr": True})
    await both.ask("DIRECT.GET.G.none")
    await both.ask("DIRECT.GET.G.g.2", {"seq": 1})


async def test_transforms_and_republish(both):
    heard = [await nc.subscribe("out.>") for nc in both.connections]
    config = {
        "name": "T", "subjects": ["t.*.*"], "subject_transform": {"src": "t.*.*", "dest": "u.{{wildcard(2)}}.{{wildcard(1)}}"},
        "republish": {"src": "u.>", "dest": "out.>"},
    }  # fmt: skip
    await both.ask("STREAM.CREATE.T", config)
    for number in range(4):
        await both.put(f"t.{number % 2}.x", str(number), {"X": "1"} if number else None)
    for _ in range(4):
        found = [text(await subscription.next_msg(timeout=5)) for subscription in heard]
        assert found[0] == found[1]
    await both.ask("STREAM.MSG.GET.T", {"last_by_subj": "u.x.1"})
    await both.ask("STREAM.INFO.T", {"subjects_filter": ">"})
    await both.ask("STREAM.UPDATE.T", {**config, "republish": {"dest": "out.heads", "headers_only": True}})
    await both.put("t.1.x", "long enough")
    found = [text(await subscription.next_msg(timeout=5)) for subscription in heard]
    assert found[0] == found[1]
    for wrong in ({"subject_transform": {"src": "a..b", "dest": "c"}}, {"subject_transform": {"src": "a.*", "dest": "c.{{wildcard(3)}}"}},
                  {"republish": {"src": ">", "dest": "t.1.2"}}, {"republish": {"src": "t.*.*", "dest": "x.{{wildcard(9)}}"}},
                  {"subject_transform": {"src": "t.*.*", "dest": "u.$1"}, "republish": {"src": ">", "dest": ">"}}):
        await both.ask("STREAM.UPDATE.T", {"name": "T", "subjects": ["t.*.*"], **wrong})


async def test_account_and_lists(both):
    for name in ("A", "B", "C"):
        config = {"name": name, "subjects": [f"{name}.>"], "max_bytes": 1 << 20, "storage": "memory" if name == "C" else "file"}
        await both.ask(f"STREAM.CREATE.{name}", config)
    await both.ask("INFO")
    for body in (None, {"subject": "B.x"}, {"offset": 2}, {"offset": 9}, {"subject": "nothing"}, {"nonsense": 1}):
        await both.ask("STREAM.NAMES", body)
        await both.ask("STREAM.LIST", body)
    await both.ask("STREAM.CREATE.Z", {"name": "Z", "compression": "s2"})
    await both.put("Z", "x" * 1000)
    await both.ask("STREAM.MSG.GET.Z", {"seq": 1})


async def test_what_an_update_may_change(both):
    config = {"name": "U", "subjects": ["u.>"], "deny_delete": True, "allow_msg_ttl": True, "description": "before"}
    await both.ask("STREAM.CREATE.U", config)
    for number in range(6):
        await both.put(f"u.{number}", "x")
    for change in ({"description": "after"}, {"storage": "memory"}, {"retention": "workqueue"}, {"deny_delete": False}, {"allow_msg_ttl": False},
                   {"persist_mode": "async"}, {"allow_msg_counter": True, "allow_msg_ttl": False}, {"max_msgs": 3}, {"name": "V"}, {"num_replicas": 3},
                   {"subjects": ["v"]}, {"mirror": {"name": "V"}, "subjects": []}, {"first_seq": 50}, {"metadata": {"a": "b"}}, {"no_such": 1}):
        # What a lower limit removes may go in later turns, so the state in the answer is that of some moment of it.
        await both.ask("STREAM.UPDATE.U", {**config, **change}, without="state" if "max_msgs" in change else None)
        if "max_msgs" in change:
            await both.settle("U", messages=3)
    await both.ask("STREAM.INFO.U", {"subjects_filter": "u.*"})
    await both.ask("STREAM.UPDATE.nothing", {**config, "name": "nothing"})


async def test_sources_and_mirrors_are_shown_as_they_were_asked_for_or_refused(both):
    async def configured(nc, name, more):
        body = json.dumps({"name": name, **more}).encode()
        answer = json.loads((await nc.request(f"$JS.API.STREAM.CREATE.{name}", body, timeout=5)).data)
        if "config" not in answer:
            return answer["error"]
        shown = json.loads((await nc.request(f"$JS.API.STREAM.INFO.{name}", timeout=5)).data)["config"]
        return {key: shown.get(key) for key in ("sources", "mirror", "subjects")}

    await both.ask("STREAM.CREATE.UP", {"name": "UP", "subjects": ["up.>"]})
    consumer = {"name": "C", "deliver_subject": "deliver"}
    every = [{"src": "up.a", "dest": "down.a"}, {"src": "up.b.*", "dest": "down.{{wildcard(1)}}"}]
    for number, source in enumerate([
        {}, {"opt_start_seq": 3, "filter_subject": "up.a"}, {"opt_start_time": "2025-01-02T03:04:05.678Z"}, {"subject_transforms": every},
        {"subject_transforms": [{"src": ">", "dest": "one.>"}, {"src": ">", "dest": "two.>"}]}, {"filter_subject": "up.a", "subject_transforms": every},
        {"subject_transforms": [{"src": "up.*", "dest": "{{wildcard(4)}}"}]}, {"consumer": consumer}, {"consumer": consumer, "opt_start_seq": 3},
        {"consumer": consumer, "filter_subject": "up.a"}, {"consumer": {"name": "C"}}, {"consumer": {"deliver_subject": "deliver"}}, {"consumer": {}},
        {"consumer": {"name": "a.b", "deliver_subject": "deliver"}}, {"consumer": {"name": "C", "deliver_subject": "de.*"}},
    ]):  # fmt: skip
        origin = {"name": "UP", **source}
        await both.alike(lambda nc: configured(nc, f"S{number}", {"sources": [origin]}), f"a source {source}")
        await both.alike(lambda nc: configured(nc, f"M{number}", {"mirror": origin}), f"a mirror {source}")
    await both.alike(lambda nc: configured(nc, "TWICE", {"sources": [{"name": "UP"}, {"name": "UP"}]}), "the same twice")
