"""The JetStream API against nats-server, answer by answer.

The requests recorded in Tests/Vectors/recorded/{jetstream-api,consumers}.jsonl go in the same order to the agent and to a real
nats-server of the same run, and the answers must agree: statuses, keys, types and values, except for those that differ on every run.
The recordings have gaps (what changed state but was not of interest), so their answers are no reference; the live server is.

What the agent does not do yet is left out by the tables below, each entry with its reason. A request for one of those features
must be refused by the agent with an error: never silence, never a success that does less than was asked.
"""

import asyncio
import json
import re

import pytest

from servers import REPOSITORY


AREAS_LEFT_OUT = {
    "schedule": "message schedules are not there yet",
    "cluster-only": "a single node has no meta group",
}
STREAM_KEYS_LEFT_OUT = {"allow_msg_schedules"}
CONSUMER_KEYS_LEFT_OUT = {"sourcing"}
# Values of these keys that the agent refuses.
VALUES_LEFT_OUT = {}
# Streams and consumers that one of these would have made.
NAMES_LEFT_OUT = set()
# Where the agent's answer is known to differ, by file and number.
KNOWN_DIFFERENCES = {
}

# Pages of names among which some are generated: those sort anywhere, so which stand on the page is chance, and only how many is not.
PAGES_OF_CHANCE = {("consumers", 100)}


def names_counted(answers):
    return [(kind, body | {"consumers": len(body["consumers"])}) if kind == "json" else (kind, body) for kind, body in answers]


# Values that differ on every run, or that describe the implementation: compared by type only.
VARYING = {
    "created", "ts", "time", "first_ts", "last_ts", "last_active", "bytes", "memory", "storage", "total", "errors", "_nats.ver",
    "_nats.level", "leader", "pause_remaining",
}  # fmt: skip
FILES = ("jetstream-api", "consumers")


def requests_of(file):
    with open(REPOSITORY / f"Tests/Vectors/recorded/{file}.jsonl") as lines:
        for line in lines:
            case = json.loads(line)
            if isinstance(case.get("request"), dict):
                yield case


def feature_left_out(case):
    """The feature that the agent lacks and this request needs, or None."""
    body = case["request"]["body"]
    if isinstance(body, dict):
        config = body.get("config", body) if ".CONSUMER." in case["request"]["subject"] else body
        keys = CONSUMER_KEYS_LEFT_OUT if ".CONSUMER." in case["request"]["subject"] else STREAM_KEYS_LEFT_OUT
        if not isinstance(config, dict):
            return None
        used = sorted(keys & set(config))
        used += [f"{key}: {config[key]}" for key, values in VALUES_LEFT_OUT.items() if config.get(key) in values]
        return used[0] if used else None
    return None


def left_out(case):
    name = NAMES_LEFT_OUT.intersection(case["request"]["subject"].split("."))
    return AREAS_LEFT_OUT.get(case["area"]) or feature_left_out(case) or name


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
        await self.nc.publish(request["subject"], data, reply=reply, headers=request["headers"])
        answers = []
        try:
            while count is None or len(answers) < count:
                answers.append(answer(await subscription.next_msg(timeout=wait)))
        except (asyncio.TimeoutError, TimeoutError):
            pass
        await subscription.unsubscribe()
        return answers


async def fill(nc):
    """Messages for the consumers to deliver; the recorder published its own between the requests."""
    for number in range(11):
        await nc.request(f"s.{number % 4}", b"m%d" % number, timeout=5)


@pytest.mark.parametrize("file", FILES)
async def test_answers_as_nats_server_does(file, petiole, hub, client):
    ours = Conversation(await client(petiole(jetstream=True)))
    theirs = Conversation(await client(hub(jetstream=True, leaf=False)))
    compared, different, filled = 0, [], file != "consumers"
    for case in requests_of(file):
        request = case["request"]
        if case["area"] == "setup" and isinstance(request["body"], dict):
            request["body"].pop("allow_msg_ttl", None)  # incidental to what the setup is for
        if left_out(case):
            continue
        if not filled and case["area"] != "setup":
            await asyncio.gather(fill(ours.nc), fill(theirs.nc))
            filled = True
        # The recorded number of answers is mostly right and saves waiting for more.
        reference = await theirs.ask(request, len(case["responses"]) or None, 0.3)
        mine = await ours.ask(request, len(reference) or None, 5 if reference else 0.3)
        compared += 1
        if (file, case["n"]) in PAGES_OF_CHANCE:
            mine, reference = names_counted(mine), names_counted(reference)
        if mine != reference and (file, case["n"]) not in KNOWN_DIFFERENCES:
            head = f"{case['n']} {case['title']}: {request['subject'][:80]} {json.dumps(request['body'])[:300]}"
            different.append("\n".join([head, *difference(mine, reference)]))
    assert compared > 100
    assert not different, f"{len(different)} of {compared} answers differ:\n" + "\n".join(different)


@pytest.mark.ours
async def test_what_is_not_there_is_refused(petiole, client):
    nc = await client(petiole(jetstream=True))
    talk = Conversation(nc)
    assert (await talk.ask({"subject": "$JS.API.STREAM.CREATE.S", "headers": None, "body": {"name": "S", "subjects": ["s.>"]}}, 1, 5))
    wrong, asked = [], 0
    for file in FILES:
        for case in requests_of(file):
            request = case["request"]
            if ".CREATE." not in request["subject"] or not feature_left_out(case):
                continue
            asked += 1
            answers = await talk.ask(request, 1, 5)
            if not answers or answers[0][0] != "json" or "error" not in answers[0][1]:
                wrong.append(f"{file} {case['n']} {case['title']} ({feature_left_out(case)}): {answers}")
    assert asked > 0
    assert not wrong, "\n".join(wrong)
