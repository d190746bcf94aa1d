"""The JetStream API against nats-server, answer by answer.

The requests recorded in Tests/Vectors/recorded/{jetstream-api,jetstream-more,consumers,kv-obj-misc}.jsonl go in the same order to
the agent and to a real nats-server of the same run, and the answers must agree: statuses, keys, types and values, except for those
that differ on every run. The recordings have gaps (what changed state but was not of interest), so their answers are no reference;
the live server is.

What is left out, and why, says the table below.
"""

import asyncio
import dataclasses
import json
import re

import pytest

from servers import REPOSITORY


AREAS_LEFT_OUT = {
    "schedule": "what a schedule publishes meanwhile, and so the sequences behind it, depends on the time",
    "cluster-only": "a single node has no meta group",
}
CASES_LEFT_OUT = {
    ("jetstream-more", 56): "which of two sources is stored first is chance",
    ("jetstream-more", 125): "petiole does not purge a whole account by one request of the system account",
}

# Pages of names among which some are generated: those sort anywhere, so which stand on the page is chance, and only how many is not.
PAGES_OF_CHANCE = {("consumers", 100)}


def names_counted(answers):
    return [(kind, body | {"consumers": len(body["consumers"])}) if kind == "json" else (kind, body) for kind, body in answers]


# Values that differ on every run, or that describe the implementation: compared by type only.
VARYING = {
    "created", "ts", "time", "first_ts", "last_ts", "last_active", "active", "bytes", "memory", "storage", "total", "errors", "_nats.ver",
    "_nats.level", "leader", "pause_remaining",
}  # fmt: skip


@dataclasses.dataclass
class Part:
    """Cases of one file that go to servers of one configuration."""

    file: str
    areas: tuple = ()  # all of them
    numbers: range = range(1, 10_000)
    jetstream: object = True
    config: str = ""
    # Who asks, by a name that is the password too; empty: anybody.
    user: str = ""
    # What the recorder published or waited for between the requests: {number of the case: [subject, ... or seconds]}.
    before: dict = dataclasses.field(default_factory=dict)
    compared_min: int = 1

    def cases(self):
        with open(REPOSITORY / f"Tests/Vectors/recorded/{self.file}.jsonl") as lines:
            for line in lines:
                case = json.loads(line)
                is_wanted = case["area"] in self.areas if self.areas else case["area"] not in AREAS_LEFT_OUT
                is_wanted = is_wanted and case["n"] in self.numbers
                if isinstance(case.get("request"), dict) and is_wanted and (self.file, case["n"]) not in CASES_LEFT_OUT:
                    yield case


ACCOUNTS = """
accounts {
  NONE { users: [ {user: none, password: none} ] }
  FEW {
    users: [ {user: few, password: few} ]
    jetstream { max_mem: 1M, max_store: 2M, max_streams: 1, max_consumers: 1, max_ack_pending: 10, store_max_stream_bytes: 1M, max_bytes_required: true }
  }
  SYS { users: [ {user: sys, password: sys} ] }
}
system_account: SYS
"""
PARTS = {
    "jetstream-api": Part("jetstream-api", compared_min=200),
    "consumers": Part("consumers", before={5: [f"s.{number % 4}" for number in range(11)]}, compared_min=150),
    "jetstream-more": Part(
        "jetstream-more", ("discard", "interest", "workqueue", "sdm", "republish", "mirror/source", "snapshot"),
        before={14: ["mm.1", "mm.2", "mm.1", "mm.3"], 16: ["do.a", "do.b", "do.c"], 29: ["w.a"], 34: ["sdm.a", 1.5], 42: [2.5], 54: [1.0], 62: [0.5]},
        compared_min=60,
    ),
    "kv-obj-misc": Part("kv-obj-misc", before={5: ["ci.1", "ci.2", "ci.3"]}, compared_min=30),
    "domain": Part("jetstream-more", ("domain",), jetstream="domain: hub", before={91: ["s.1"]}, compared_min=10),
    "long ack subjects": Part("jetstream-more", ("v2 ack",), config="feature_flags { js_ack_fc_v2: true }", compared_min=5),
    "disabled": Part("jetstream-more", ("js disabled",), jetstream=False),
    "not enabled for the account": Part("jetstream-more", ("js not enabled for account",), config=ACCOUNTS, user="none", compared_min=3),
    "account limits": Part("jetstream-more", ("account limits",), range(1, 121), config=ACCOUNTS, user="few", compared_min=8),
    "server limits": Part("jetstream-more", ("account limits",), range(121, 123), "max_memory_store: 64MB, max_file_store: 64MB", compared_min=2),
    "system account": Part("jetstream-more", ("system account JS",), config=ACCOUNTS, user="sys"),
}  # fmt: skip


# How long no answer has to stay away to count as none.
SILENCE_SECONDS = 0.3


def expires_seconds(request):
    """How long after a request its own end may be answered; long ones are not waited for."""
    body = request["body"]
    expires_ns = body.get("expires", 0) if isinstance(body, dict) else 0
    return expires_ns / 1e9 if isinstance(expires_ns, int) and 0 < expires_ns < 1_000_000_000 else 0


def shape(value, key=""):
    """What must agree of an answer."""
    # `storage` is a count of bytes, and a stream's choice of "file" or "memory".
    varies = key in VARYING and not (key == "storage" and isinstance(value, str))
    if varies or re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", str(value)):
        return f"<{type(value).__name__}>"
    if isinstance(value, dict):
        # The wording of Go's JSON decoder is Go's own.
        if value.get("err_code") == 10025:
            return {"code": value["code"], "err_code": 10025}
        return {name: shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [shape(item, key) for item in value]
        if key == "sources" and all(isinstance(item, dict) for item in items):
            # Which source was heard of first is chance.
            return sorted(items, key=lambda source: source.get("name", ""))
        return sorted(items) if key == "consumers" and all(isinstance(item, str) for item in items) else items
    # The names that a server makes up for consumers.
    if key in ("name", "consumers") and re.fullmatch(r"(?=.*[a-z0-9])[A-Za-z0-9]{8}", str(value)):
        return "<generated>"
    return value


def difference(mine, reference, path=""):
    """The places where two answers differ, one line each."""
    if isinstance(mine, (list, tuple)) and isinstance(reference, (list, tuple)) and len(mine) == len(reference):
        return [line for index, pair in enumerate(zip(mine, reference)) for line in difference(*pair, f"{path}[{index}]")]
    if isinstance(mine, dict) and isinstance(reference, dict):
        keys = sorted(mine.keys() | reference.keys())
        return [line for key in keys for line in difference(mine.get(key, "<absent>"), reference.get(key, "<absent>"), f"{path}.{key}")]
    return [] if mine == reference else [f"    {path}: ours {str(mine)[:400]!r}, theirs {str(reference)[:400]!r}"]


def headers_of(message):
    """All headers, without the values that differ on every run."""
    return {key: "<varies>" if key in ("Nats-Pin-Id", "Nats-Time-Stamp") else value for key, value in (message.headers or {}).items()}


def answer(message):
    if (message.headers or {}).get("Status"):
        return "status", headers_of(message)
    try:
        return "json", shape(json.loads(message.data))
    except ValueError:
        # A stored message: its reply subject carries the delivery's counts (and a time).
        counts = re.sub(r"\.\d{19}\.", ".<time>.", message.reply) if message.reply.startswith("$JS.ACK") else ""
        return "message", message.subject if not message.subject.startswith("_INBOX") else "", counts, headers_of(message), message.data.decode()


class Conversation:
    """Sends one request after the other to one server."""

    def __init__(self, nc):
        self.nc = nc
        self.inbox = nc.new_inbox()
        self.number = 0

    async def ask(self, request, count, wait):
        """Up to `count` answers within `wait` seconds (all that come in a short time, when count is None)."""
        self.number += 1
        reply = f"{self.inbox}.{self.number}"
        subscription = await self.nc.subscribe(reply)
        body = request["body"]
        data = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        await self.nc.publish(request["subject"], data, reply=reply, headers=request.get("headers"))
        answers = []
        try:
            while count is None or len(answers) < count:
                answers.append(answer(await subscription.next_msg(timeout=wait)))
        except (asyncio.TimeoutError, TimeoutError):
            pass
        await subscription.unsubscribe()
        return answers


async def prepare(nc, steps):
    for step in steps:
        if isinstance(step, str):
            await nc.request(step, f"payload of {step}".encode(), timeout=5)
        else:
            await asyncio.sleep(step)


@pytest.mark.parametrize("name", PARTS)
async def test_answers_as_nats_server_does(name, petiole, hub, client):
    part = PARTS[name]
    login = {"user": part.user, "password": part.user} if part.user else {}
    ours = Conversation(await client(petiole(part.config, jetstream=part.jetstream), **login))
    theirs = Conversation(await client(hub(part.config, jetstream=part.jetstream, leaf=False), **login))
    compared, different = 0, []
    for case in part.cases():
        request = case["request"]
        if case["area"] == "setup" and isinstance(request["body"], dict):
            request["body"].pop("allow_msg_ttl", None)  # incidental to what the setup is for
        await asyncio.gather(*(prepare(server.nc, part.before.get(case["n"], [])) for server in (ours, theirs)))
        # The recorded number of answers is mostly right and saves waiting for more.
        silence = SILENCE_SECONDS + expires_seconds(request)
        reference = await theirs.ask(request, len(case.get("responses", [0])) or None, silence)
        mine = await ours.ask(request, len(reference) or None, 5 if reference else silence)
        compared += 1
        if (part.file, case["n"]) in PAGES_OF_CHANCE:
            mine, reference = names_counted(mine), names_counted(reference)
        if mine != reference:
            head = f"{case['n']} {case['title']}: {request['subject'][:80]} {json.dumps(request['body'])[:300]}"
            different.append("\n".join([head, *difference(mine, reference)]))
    assert compared >= part.compared_min
    assert not different, f"{len(different)} of {compared} answers differ:\n" + "\n".join(different)
