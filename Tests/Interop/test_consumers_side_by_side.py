"""Consumers of the agent beside those of a real nats-server: the same steps on both, and everything that is seen must agree.

Each scenario is a list of steps for one stream S with ten messages; what comes back (answers of the API, deliveries with their ack
subjects' numbers and headers, statuses, advisories) is written down by both, without what differs on every run.
"""

import asyncio
import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from waiting import until

# Values that differ on every run.
VARYING = {
    "created", "ts", "last_active", "id", "timestamp", "pinned_ts", "pinned_client_id", "pinned_id", "_nats.ver", "ack_time",
    "pause_remaining", "first_ts", "last_ts", "time",
}  # fmt: skip


def shape(value, key=""):
    if isinstance(value, dict):
        # The wording of Go's JSON decoder is Go's own.
        if value.get("err_code") == 10025:
            return {"err_code": 10025}
        return {name: shape(item, name) for name, item in value.items() if name != "cluster"}
    if isinstance(value, list):
        return [shape(item, key) for item in value]
    if key in VARYING:
        return f"<{type(value).__name__}>"
    return value


def differences(mine, theirs, path=""):
    """The places where two things that were seen differ, one line each."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = sorted(mine.keys() | theirs.keys())
        return [line for key in keys for line in differences(mine.get(key, "<absent>"), theirs.get(key, "<absent>"), f"{path}.{key}")]
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        return [line for index, pair in enumerate(zip(mine, theirs)) for line in differences(*pair, f"{path}[{index}]")]
    return [] if mine == theirs else [f"  {path}: ours {mine}, theirs {theirs}"]


class Session:
    """One server's side of a scenario."""

    def __init__(self, nc, storage):
        self.nc = nc
        self.storage = storage
        self.log = []
        self.pulls = {}
        self.subscriptions = {}
        self.last = {}
        self.pin = ""
        self.is_publishing = False

    def text(self, message):
        """What is seen of a message."""
        headers = {key: "<pin>" if key == "Nats-Pin-Id" else value for key, value in (message.headers or {}).items()}
        if "Nats-Pin-Id" in (message.headers or {}):
            self.pin = message.headers["Nats-Pin-Id"]
        if "Nats-Consumer-Stalled" in headers:
            headers["Nats-Consumer-Stalled"] = "<stalled>"
        if message.reply.startswith("$JS.ACK."):
            tokens = message.reply.split(".")
            # What is left is not the same when messages are published meanwhile: nats-server may have seen the next one already.
            left = "<left>" if self.is_publishing else tokens[8]
            ack = ".".join([*tokens[:7], "<time>", left])
            self.last[message.data.decode()] = message.reply
        else:
            ack = re.sub(r"\.\w{4}$", ".<random>", message.reply)
        return [message.subject if not message.subject.startswith("_") else "", ack, headers, message.data.decode()]

    async def api(self, subject, body=None):
        data = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        answer = await self.nc.request("$JS.API." + subject, data, timeout=5)
        self.log.append((subject, shape(json.loads(answer.data))))

    async def create(self, name, **config):
        await self.api(f"CONSUMER.CREATE.S.{name}", {"stream_name": "S", "config": {"durable_name": name, **config}})

    async def info(self, name="C"):
        await self.api(f"CONSUMER.INFO.S.{name}")

    async def until_pending(self, count, name="C"):
        """Waits until so many messages wait for their ack: nats-server tells consumers of deleted ones in its own time."""

        async def pending():
            answer = await self.nc.request(f"$JS.API.CONSUMER.INFO.S.{name}", timeout=5)
            return json.loads(answer.data)["num_ack_pending"] == count

        await until(pending)

    async def publish(self, count=1, subject="s.1", size=0):
        self.is_publishing = True
        for number in range(count):
            await self.nc.request(subject, b"p%d" % number + b"x" * size, timeout=5)

    async def listen(self, subject, queue=""):
        self.subscriptions[subject] = await self.nc.subscribe(subject, queue=queue)
        await self.nc.flush()

    async def unlisten(self, subject):
        await self.subscriptions.pop(subject).unsubscribe()
        await self.nc.flush()

    async def heard(self, subject, count, wait=5.0):
        """Exactly `count` messages; none may follow at once."""
        subscription, got = self.subscriptions[subject], []
        try:
            while len(got) < count:
                got.append(self.text(await subscription.next_msg(timeout=wait)))
            await asyncio.sleep(0.05)
            while subscription.pending_msgs:
                got.append(self.text(await subscription.next_msg(timeout=1)))
        except (asyncio.TimeoutError, TimeoutError):
            pass
        self.log.append((subject, [shape(json.loads(one[3])) if subject.startswith("$JS.EVENT") else one for one in got]))

    async def pull(self, label, body="", name="C"):
        inbox = self.nc.new_inbox()
        self.pulls[label] = inbox
        self.subscriptions[label] = await self.nc.subscribe(inbox)
        data = body if isinstance(body, str) else json.dumps(body)
        await self.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.S.{name}", data.replace("<pin>", self.pin).encode(), reply=inbox)
        await self.nc.flush()

    async def leave(self, label):
        await self.subscriptions.pop(label).unsubscribe()
        await self.nc.flush()

    async def fetch(self, count, body="", name="C", wait=5.0):
        await self.pull("fetch", body, name)
        await self.heard("fetch", count, wait)
        await self.leave("fetch")

    async def ack(self, payload, verb=b"", wait=5.0):
        """Acknowledges the delivery with this payload and waits for the confirmation."""
        try:
            answer = await self.nc.request(self.last[payload], verb, timeout=wait)
            self.log.append((f"ack {payload} {verb}", self.text(answer)))
        except (asyncio.TimeoutError, TimeoutError):
            self.log.append((f"ack {payload} {verb}", "nothing"))


EXPLICIT = {"ack_policy": "explicit"}


async def ack_floors(s):
    await s.create("C", **EXPLICIT, filter_subjects=["s.0", "s.2"])
    await s.fetch(5, '{"batch":5}')
    await s.ack("m3")
    await s.info()
    await s.ack("m0", b"+ACK")
    await s.info()
    await s.ack("m2", b"+TERM why not")
    await s.ack("m5", b"-NAK")
    await s.info()
    await s.fetch(1)
    await s.ack("m5", b"+WPI")
    await s.ack("m5", b"strange")
    await s.ack("m5", b"+NXT 2", wait=0.3)
    await s.ack("m6")
    await s.info()


async def ack_all(s):
    await s.create("C", ack_policy="all", filter_subject="s.1")
    await s.fetch(3, "3")
    await s.ack("m4")
    await s.info()
    await s.ack("m1")
    await s.ack("m7")
    await s.info()
    await s.publish(2)
    await s.fetch(1)
    await s.ack("p0", b"-NAK")
    await s.fetch(1)
    await s.info()


async def last_delivery(s):
    await s.listen("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C")
    await s.create("C", **EXPLICIT, ack_wait=300_000_000, max_deliver=2, max_ack_pending=2)
    await s.fetch(2, "2")
    await s.ack("m1", b"-NAK")
    await s.fetch(1)
    # nats-server gives up when somebody asks, the agent when the time is over: with somebody asking it is the same.
    await s.pull("p", {"batch": 2, "expires": 5_000_000_000})
    await s.heard("p", 2)
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C", 1)
    await s.info()
    await s.ack("m1")
    await s.ack("m0")
    await s.info()


async def no_wait_at_max_ack_pending(s):
    await s.create("C", **EXPLICIT, max_ack_pending=2)
    await s.pull("p", {"batch": 5, "no_wait": True, "expires": 5_000_000_000, "idle_heartbeat": 300_000_000})
    await s.heard("p", 3)
    await s.info()


async def backoff(s):
    await s.create("C", **EXPLICIT, backoff=[200_000_000, 100_000_000], max_deliver=3)
    await s.pull("p", {"batch": 3, "expires": 5_000_000_000})
    await s.heard("p", 3)
    for _ in range(3):
        await s.ack("m0", b"+WPI")
    await s.ack("m1")
    await s.ack("m2")
    await s.pull("q", {"batch": 2, "expires": 1_500_000_000})
    await s.heard("q", 2)
    await s.info()


async def delayed_refusal(s):
    await s.listen("$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.C")
    await s.create("C", **EXPLICIT)
    await s.fetch(2, "2")
    await s.ack("m0", b'-NAK {"delay": 300000000}')
    await s.ack("m1", b"-NAK 100ms")
    await s.pull("p", {"batch": 9, "expires": 3_000_000_000, "max_bytes": 100_000})
    await s.heard("p", 9)
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.C", 2)
    await s.ack("m1", b"-NAK nonsense")
    await s.fetch(1)
    await s.info()


async def purges(s):
    await s.create("C", **EXPLICIT)
    await s.create("D", **EXPLICIT, filter_subject="s.1")
    await s.fetch(4, "4")
    await s.fetch(2, "2", name="D")
    await s.api("STREAM.MSG.DELETE.S", {"seq": 2})
    await s.until_pending(3)
    await s.info()
    await s.info("D")
    await s.api("STREAM.PURGE.S", {"seq": 4})
    await s.info()
    await s.info("D")
    await s.api("STREAM.PURGE.S", {"filter": "s.1"})
    await s.info()
    await s.info("D")
    await s.api("STREAM.PURGE.S")
    await s.info()
    await s.info("D")
    await s.publish(2)
    await s.fetch(1)
    await s.info()


async def terminated_by_limits(s):
    await s.listen("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C")
    await s.create("C", **EXPLICIT)
    await s.fetch(2, "2")
    await s.api("STREAM.MSG.DELETE.S", {"seq": 2})
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C", 1)
    await s.ack("m0", b"+TERM  because ")
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C", 1)


async def statuses(s):
    await s.create("C", **EXPLICIT, max_waiting=2, max_batch=20, max_expires=2_000_000_000, max_bytes=1000)
    await s.fetch(1, {"batch": 21})
    await s.fetch(1, {"batch": 2, "expires": 3_000_000_000})
    await s.fetch(1, {"batch": 2, "max_bytes": 1001})
    await s.fetch(1, {"batch": 1, "idle_heartbeat": 600_000_000, "expires": 1_000_000_000, "priority": 11})
    await s.fetch(1, {"priority": -1})
    await s.fetch(2, {"batch": 1, "max_bytes": 500})
    await s.fetch(10, {"batch": 20, "no_wait": True, "expires": 500_000_000})
    await s.fetch(1, {"batch": 0, "expires": 200_000_000})
    await s.fetch(1, {"batch": -3, "expires": 200_000_000})
    await s.pull("one", {"batch": 3, "expires": 1_500_000_000, "idle_heartbeat": 600_000_000})
    await s.pull("two", {"batch": 1})
    await s.fetch(1, {"batch": 1})
    await s.fetch(0, {"batch": 1, "expires": 1_500_000_000, "idle_heartbeat": 600_000_000}, wait=0.2)
    await s.publish(2)
    await s.fetch(1, {"batch": 2, "no_wait": True})
    await s.heard("one", 4)
    await s.heard("two", 1)
    await s.info()


async def requests_pending(s):
    await s.create("C", **EXPLICIT, deliver_policy="new", max_ack_pending=1)
    await s.publish(3)
    await s.fetch(1)
    await s.pull("all", {"batch": 10, "expires": 1_000_000_000})
    await s.fetch(1, {"batch": 2, "no_wait": True})
    await s.info()
    await s.leave("all")
    await s.info()
    await s.pull("held", {"batch": 1, "no_wait": True})
    await s.heard("held", 0, 0.2)
    await s.ack("p0")
    await s.heard("held", 1)


async def deserted(s):
    await s.create("C", **EXPLICIT, deliver_policy="new")
    await s.pull("gone", {"batch": 1, "expires": 30_000_000_000})
    await s.pull("there", {"batch": 2, "expires": 30_000_000_000})
    await s.info()
    await s.leave("gone")
    await s.info()
    await s.publish(2)
    await s.heard("there", 2)
    await s.api("CONSUMER.DELETE.S.C")


async def deleted(s):
    await s.create("C", **EXPLICIT, deliver_policy="new")
    await s.pull("waiting", {"batch": 2, "expires": 30_000_000_000})
    await s.pull("beating", {"batch": 2, "expires": 30_000_000_000, "idle_heartbeat": 10_000_000_000})
    await s.api("CONSUMER.DELETE.S.C")
    await s.heard("waiting", 1)
    await s.heard("beating", 1)
    await s.fetch(1, "1")
    await s.create("C", **EXPLICIT, deliver_policy="new")
    await s.pull("of the stream", {"batch": 2, "expires": 30_000_000_000})
    await s.api("STREAM.DELETE.S")
    await s.heard("of the stream", 1)
    await s.fetch(1, "1")


async def pause_ends(s):
    await s.create("C", **EXPLICIT)

    async def told(verb, body=b""):
        # The time itself is each server's own.
        answer = json.loads((await s.nc.request(f"$JS.API.CONSUMER.{verb}.S.C", body, timeout=5)).data)
        s.log.append((verb, [answer["paused"] if "paused" in answer else "<absent>", "pause_remaining" in answer]))

    end = datetime.now(timezone.utc) + timedelta(seconds=0.6)
    await told("PAUSE", json.dumps({"pause_until": end.isoformat().replace("+00:00", "Z")}).encode())
    await told("INFO")
    await s.pull("waiting", {"batch": 2, "expires": 10_000_000_000})
    await s.heard("waiting", 0)
    await s.heard("waiting", 2)
    s.log.append(("not before", datetime.now(timezone.utc) >= end))
    await told("INFO")


async def from_a_time(s):
    message = json.loads((await s.nc.request("$JS.API.STREAM.MSG.GET.S", b'{"seq": 6}', timeout=5)).data)["message"]
    whole, fraction = message["time"].rstrip("Z").split(".")
    for name, later in (("exactly", 0), ("before", -1), ("behind", 1)):
        # Nanoseconds are digits: Python's times have none.
        start = f"{whole}.{(int(fraction.ljust(9, '0')) + later) % 1_000_000_000:09}Z"
        config = {"durable_name": name, "ack_policy": "none", "deliver_policy": "by_start_time", "opt_start_time": start}
        body = json.dumps({"stream_name": "S", "config": config}).encode()
        answer = json.loads((await s.nc.request(f"$JS.API.CONSUMER.CREATE.S.{name}", body, timeout=5)).data)
        shown = answer["config"]["opt_start_time"].rstrip("Z").ljust(29, "0")
        s.log.append((name, [shown == start.rstrip("Z").ljust(29, "0"), answer["num_pending"], answer["delivered"]]))
        await s.fetch(2, "2", name=name)


async def paused(s):
    await s.listen("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.C")
    await s.create("C", **EXPLICIT, pause_until="2040-01-01T00:00:00Z")
    await s.info()
    await s.fetch(1, {"batch": 1, "no_wait": True})
    await s.fetch(2, {"batch": 1, "expires": 1_000_000_000, "idle_heartbeat": 450_000_000})
    await s.create("C", **EXPLICIT, description="x", pause_until="2041-01-01T00:00:00Z")
    await s.api("CONSUMER.PAUSE.S.C", {"pause_until": "2039-01-01T00:00:00Z"})
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.C", 1)
    await s.api("CONSUMER.PAUSE.S.C")
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.C", 1)
    await s.fetch(1)


async def resets(s):
    await s.create("C", **EXPLICIT, deliver_policy="by_start_sequence", opt_start_seq=3)
    await s.fetch(4, "4")
    await s.ack("m2")
    await s.ack("m4")
    await s.api("CONSUMER.RESET.S.C")
    await s.fetch(2, "2")
    await s.api("CONSUMER.RESET.S.C", {"seq": 2})
    await s.api("CONSUMER.RESET.S.C", {"seq": 9, "unknown": 1})
    await s.fetch(3, {"batch": 3, "no_wait": True})
    await s.info()
    await s.create("T", **EXPLICIT, deliver_policy="by_start_time", opt_start_time="2020-01-01T00:00:00Z")
    await s.fetch(1, name="T")
    await s.api("CONSUMER.RESET.S.T", {"seq": 5})
    await s.fetch(1, name="T")
    await s.create("L", **EXPLICIT, deliver_policy="last")
    await s.api("CONSUMER.RESET.S.L", {"seq": 5})
    await s.api("CONSUMER.RESET.S.L", "{x")


async def last_per_subject(s):
    await s.create("C", ack_policy="none", deliver_policy="last_per_subject", filter_subject="s.*")
    await s.publish(1, "s.0")
    await s.info()
    await s.fetch(4, "4")
    await s.info()
    await s.publish(1, "s.9")
    await s.fetch(2, {"batch": 2, "expires": 300_000_000})
    await s.info()
    await s.create("N", ack_policy="none", deliver_policy="last_per_subject", filter_subject="none")
    await s.publish(1, "s.1")
    await s.fetch(1, {"batch": 2, "expires": 300_000_000}, name="N")
    await s.info("N")


async def updates(s):
    await s.create("C", **EXPLICIT, filter_subject="s.0", max_deliver=5)
    await s.fetch(2, "2")
    await s.create("C", **EXPLICIT, filter_subjects=["s.1", "s.2"], max_deliver=6, sample_freq="10", max_ack_pending=3, headers_only=True)
    await s.info()
    await s.fetch(1, {"batch": 5})
    for change in [
        {"ack_policy": "all"}, {"ack_policy": "explicit", "replay_policy": "original"}, {"ack_policy": "explicit", "mem_storage": True},
        {"ack_policy": "explicit", "deliver_subject": "d"}, {"ack_policy": "explicit", "backoff": [1, 2, 3], "max_deliver": 2},
        {"ack_policy": "explicit", "sample_freq": "x%"}, {"ack_policy": "explicit", "direct": True},
    ]:  # fmt: skip
        await s.create("C", **change)


async def overflow(s):
    await s.create("C", **EXPLICIT, priority_policy="overflow", priority_groups=["A", "B"])
    await s.info()
    await s.fetch(1, {"batch": 1})
    await s.fetch(1, {"group": "Z"})
    await s.fetch(1, {"group": "A", "id": "x"})
    await s.fetch(2, {"group": "A", "batch": 2, "min_pending": 10}, wait=0.3)
    await s.fetch(1, {"group": "A", "batch": 2, "min_pending": 20, "expires": 300_000_000})
    await s.fetch(3, {"group": "B", "batch": 3, "min_ack_pending": 2}, wait=0.3)
    await s.pull("patient", {"group": "A", "batch": 1, "min_pending": 6, "expires": 3_000_000_000})
    await s.pull("eager", {"group": "A", "batch": 1, "expires": 3_000_000_000})
    await s.heard("eager", 1)
    await s.publish(3)
    await s.heard("patient", 1)
    await s.info()


async def pinned(s):
    for event in ("PINNED", "UNPINNED"):
        await s.listen(f"$JS.EVENT.ADVISORY.CONSUMER.{event}.S.C")
    await s.create("C", **EXPLICIT, priority_policy="pinned_client", priority_groups=["A"], priority_timeout=700_000_000)
    await s.info()
    await s.fetch(1, {"batch": 1})
    await s.fetch(1, {"batch": 1, "group": "A"})
    await s.info()
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.C", 1)
    await s.fetch(1, {"batch": 1, "group": "A", "expires": 200_000_000})
    await s.fetch(1, {"batch": 1, "group": "A", "id": "other"})
    await s.pull("second", {"batch": 1, "group": "A", "expires": 3_000_000_000})
    await s.fetch(2, '{"batch": 2, "group": "A", "id": "<pin>"}')
    await s.heard("second", 1)
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C", 1)
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.C", 1)
    old = s.pin
    await s.api("CONSUMER.UNPIN.S.C", {"group": "A"})
    await s.heard("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C", 1)
    await s.fetch(1, json.dumps({"batch": 2, "group": "A", "id": old, "expires": 1_000_000_000}))
    for group in ("Z", "bad group", ""):
        await s.api("CONSUMER.UNPIN.S.C", {"group": group})


async def prioritized(s):
    await s.create("C", **EXPLICIT, deliver_policy="new", priority_policy="prioritized", priority_groups=["A"])
    for label, priority in (("low", 7), ("one", 1), ("two", 1)):
        await s.pull(label, {"batch": 2, "group": "A", "priority": priority, "expires": 5_000_000_000})
    await s.publish(6)
    for label in ("one", "two", "low"):
        await s.heard(label, 2)
    await s.fetch(1, {"batch": 1, "group": "A", "priority": 10})


async def pushes(s):
    await s.create("C", **EXPLICIT, deliver_subject="d.c", idle_heartbeat=300_000_000, flow_control=True, filter_subject="s.0")
    await s.info()
    await s.listen("d.c")
    await s.heard("d.c", 5)
    await s.info()
    await s.fetch(1)
    await s.create("C", **EXPLICIT, deliver_subject="d.d", idle_heartbeat=300_000_000, flow_control=True, filter_subject="s.0")
    await s.ack("m0")
    await s.unlisten("d.c")
    await s.listen("d.d")
    # Whether it is bound is known a moment later.
    await s.nc.request(
        "$JS.API.CONSUMER.CREATE.S.C",
        json.dumps({"stream_name": "S", "config": {"durable_name": "C", **EXPLICIT, "deliver_subject": "d.d", "idle_heartbeat": 300_000_000,
                                                   "flow_control": True, "filter_subject": "s.0"}}).encode(), timeout=5)  # fmt: skip
    await s.heard("d.d", 4)
    await s.info()


async def pushes_to_a_group(s):
    await s.create("C", ack_policy="none", deliver_subject="d", deliver_group="g")
    await s.listen("d")
    await s.heard("d", 0, 0.2)
    await s.info()
    await s.unlisten("d")
    await s.listen("d", "g")
    await s.heard("d", 10)
    await s.info()


async def flow_control(s):
    await s.api("STREAM.PURGE.S")
    await s.publish(30, size=100_000)
    await s.listen("d")
    await s.create("C", ack_policy="none", deliver_subject="d", idle_heartbeat=500_000_000, flow_control=True)
    subscription, seen = s.subscriptions["d"], []
    for _ in range(40):
        message = await subscription.next_msg(timeout=5)
        seen.append((message.headers or {}).get("Description") or message.data[:3].decode())
        if seen[-1] == "Idle Heartbeat":
            # Nothing more comes: now the request is answered.
            s.log.append(("flow", seen))
            seen = []
            stalled = message.headers.get("Nats-Consumer-Stalled")
            if not stalled:
                break
            await s.nc.publish(stalled)


async def flow_control_acks(s):
    await s.listen("d")
    await s.create("C", ack_policy="flow_control", deliver_subject="d", max_ack_pending=4)
    subscription = s.subscriptions["d"]
    for _ in range(8):
        message = await subscription.next_msg(timeout=5)
        status = (message.headers or {}).get("Description", "")
        s.log.append(("flow", status or message.data.decode()))
        if status == "FlowControl Request":
            await s.info()
            await s.nc.publish(message.reply, headers={"Nats-Last-Consumer": "3", "Nats-Last-Stream": "3"})
            await s.nc.flush()
    await s.info()
    for wrong in ({"ack_wait": 1}, {"max_deliver": 3}, {"backoff": [1]}):
        await s.create("W", ack_policy="flow_control", deliver_subject="d", **wrong)
    await s.create("W", ack_policy="flow_control")


async def sampled(s):
    await s.listen("$JS.EVENT.METRIC.CONSUMER.ACK.S.C")
    await s.create("C", **EXPLICIT, sample_freq="100%")
    await s.fetch(3, "3")
    await s.ack("m0")
    await s.ack("m1", b"+TERM")
    await s.ack("m2", b"-NAK")
    await s.fetch(1)
    await s.ack("m2", b"+NXT", wait=0.3)
    await s.heard("$JS.EVENT.METRIC.CONSUMER.ACK.S.C", 2)


async def lifecycles(s):
    # nats-server's own word of a stream's end gets lost now and then, so it is not compared.
    events = [f"$JS.EVENT.ADVISORY.{event}" for event in (
        "CONSUMER.CREATED.S.C", "CONSUMER.DELETED.S.C", "CONSUMER.DELETED.S.D", "STREAM.CREATED.T", "STREAM.UPDATED.T")]  # fmt: skip
    for event in events:
        await s.listen(event)
    await s.create("C", **EXPLICIT)
    await s.create("C", **EXPLICIT, description="again")
    await s.create("D", **EXPLICIT)
    await s.api("CONSUMER.DELETE.S.C")
    await s.api("STREAM.CREATE.T", {"name": "T"})
    await s.api("STREAM.CREATE.T", {"name": "T"})
    await s.api("STREAM.UPDATE.T", {"name": "T", "description": "x"})
    await s.api("STREAM.DELETE.T")
    await s.api("STREAM.DELETE.S")
    for event in events:
        await s.heard(event, 1, 1)


async def limits_of_the_stream(s):
    async def limit(**limits):
        await s.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>", "r.>"], "storage": s.storage, "consumer_limits": limits})

    await s.create("C", **EXPLICIT, max_ack_pending=500, inactive_threshold=100_000_000_000)
    await limit(max_ack_pending=499)
    await limit(inactive_threshold=99_000_000_000)
    await limit(max_ack_pending=100, inactive_threshold=10_000_000_000)
    await limit(max_ack_pending=500, inactive_threshold=100_000_000_000)
    await s.create("D", **EXPLICIT, max_ack_pending=501)
    await s.create("D", **EXPLICIT, inactive_threshold=100_000_000_001)
    await s.create("D", ack_policy="none")
    await limit(max_ack_pending=600)
    await s.create("P", **EXPLICIT, deliver_subject="d", max_ack_pending=600)
    await limit(max_ack_pending=599)
    await limit()
    await s.create("U", **EXPLICIT, max_ack_pending=-1)
    await limit(max_ack_pending=600)


async def audited(s):
    subject = "$JS.EVENT.ADVISORY.API"
    await s.listen(subject)
    for verb, body in [
        ("MSG.DELETE", {"seq": 1}), ("MSG.DELETE", {"seq": 2, "no_erase": True}), ("MSG.DELETE", {"seq": 2}), ("MSG.DELETE", None),
        ("MSG.GET", {"seq": 1}), ("MSG.GET", {"seq": 3}), ("PURGE", {"filter": "s.0"}), ("PURGE", {"keep": 4}), ("PURGE", {"seq": 4, "keep": 4}),
        ("PURGE", {"kept": 4}), ("PURGE", None), ("PURGE", None),
    ]:  # fmt: skip
        await s.api(f"STREAM.{verb}.S", body)
    await s.api("STREAM.PURGE.NONE")
    subscription = s.subscriptions[subject]
    for _ in range(12):
        event = json.loads((await subscription.next_msg(timeout=5)).data)
        # The wording of Go's JSON decoder is Go's own.
        response = re.sub(r"invalid JSON.*", "invalid JSON", event["response"])
        s.log.append((event["subject"], [event.get("request"), response, sorted(event), event["client"]["kind"]]))
    s.log.append(("audits left", subscription.pending_msgs))


async def original_speed(s):
    await s.publish(1, "r.1")
    await asyncio.sleep(0.5)  # the gap that is replayed
    await s.publish(1, "r.1")
    await s.create("C", ack_policy="none", replay_policy="original", filter_subject="r.1")
    started = asyncio.get_running_loop().time()
    await s.fetch(2, "2")
    s.log.append(("slow", asyncio.get_running_loop().time() - started > 0.4))


async def rate_limited(s):
    await s.listen("d")
    await s.create("C", ack_policy="none", deliver_subject="d", rate_limit_bps=8_000_000_000, headers_only=True)
    await s.heard("d", 10)


SCENARIOS = [
    ack_floors, ack_all, last_delivery, backoff, delayed_refusal, purges, terminated_by_limits, statuses, requests_pending, deserted, paused,
    deleted, pause_ends, from_a_time, resets, last_per_subject, updates, overflow, pinned, prioritized, pushes, pushes_to_a_group, flow_control, flow_control_acks, sampled,
    lifecycles, original_speed, rate_limited, no_wait_at_max_ack_pending, limits_of_the_stream, audited,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=lambda number: SCENARIOS[number].__name__)
async def test_consumers_agree_with_nats_server(number, petiole, hub, client):
    scenario, storage = SCENARIOS[number], "memory" if number % 2 else "file"

    async def run(server):
        session = Session(await client(server), storage)
        await session.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>", "r.>"], "storage": storage})
        for number in range(10):
            await session.nc.request(f"s.{number % 3}", b"m%d" % number, timeout=5)
        session.log.clear()
        await scenario(session)
        return session.log

    found = []
    # Once more when they disagree: threads of nats-server overtake each other, so that what it shows is not always the same.
    for attempt in range(2):
        ours, theirs = await asyncio.gather(
            run(petiole(jetstream=True, name=f"edge{attempt}")), run(hub(jetstream=True, leaf=False, name=f"hub{attempt}"))
        )
        assert len(ours) == len(theirs)
        found = [
            f"step {number} ({mine[0]}):\n" + "\n".join(differences(mine[1], reference[1]))
            for number, (mine, reference) in enumerate(zip(ours, theirs))
            if mine != reference
        ]
        if not found:
            break
    assert not found, "\n".join(found)


async def test_after_a_restart_there_are_the_consumers_that_nats_server_has(petiole, hub, client):
    """Which outlive a stop: those on the medium, whatever they are called, and none in memory."""
    consumers = {
        "durable": {"durable_name": "durable", **EXPLICIT}, "durable-memory": {"durable_name": "durable-memory", **EXPLICIT, "mem_storage": True},
        "named": {"name": "named", **EXPLICIT, "inactive_threshold": 60_000_000_000},
        "ordered": {"name": "ordered", "ack_policy": "none", "mem_storage": True, "num_replicas": 1, "inactive_threshold": 300_000_000_000},
        "pushed": {"name": "pushed", "ack_policy": "none", "deliver_subject": "nobody", "inactive_threshold": 60_000_000_000},
        "short": {"name": "short", "ack_policy": "none"},
    }  # fmt: skip

    async def left(server):
        found = {}
        for turn in ("before", "after"):
            nc = await client(server)
            if turn == "before":
                for stream in ("file", "memory"):
                    body = {"name": stream, "subjects": [f"{stream}.>"], "storage": stream}
                    await nc.request(f"$JS.API.STREAM.CREATE.{stream}", json.dumps(body).encode(), timeout=5)
                    for name, config in consumers.items():
                        body = {"stream_name": stream, "config": config}
                        answer = json.loads((await nc.request(f"$JS.API.CONSUMER.CREATE.{stream}.{name}", json.dumps(body).encode(), timeout=5)).data)
                        assert "error" not in answer, answer
            for stream in ("file", "memory"):
                answer = json.loads((await nc.request(f"$JS.API.CONSUMER.NAMES.{stream}", timeout=5)).data)
                found[turn, stream] = sorted(answer.get("consumers") or [answer.get("error", {}).get("err_code")])
            if turn == "before":
                assert await asyncio.to_thread(server.stop) in (0, 1)
                await asyncio.to_thread(server.start)
        return found

    ours, theirs = await asyncio.gather(left(petiole(jetstream=True)), left(hub(jetstream=True, leaf=False)))
    assert ours == theirs
    assert "durable" in ours["after", "file"]
