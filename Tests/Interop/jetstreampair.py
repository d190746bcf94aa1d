"""The same JetStream requests to the agent and to a real nats-server of the same run: the answers must be the same."""

import asyncio
import json

VARYING = {"created", "ts", "time", "first_ts", "last_ts", "_nats.ver", "_nats.level", "leader", "bytes", "api", "memory", "storage", "limits"}


def shape(value, key=""):
    if key in VARYING and not (key in ("storage",) and isinstance(value, str)):
        return "<varies>"
    if isinstance(value, dict):
        return {name: shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item, key) for item in value]
    return value


def text(message):
    """An answer as it can be compared."""
    headers = {name: value for name, value in (message.headers or {}).items() if name != "Nats-Time-Stamp"}
    try:
        body = json.loads(message.data)
        body = shape(body) if isinstance(body, dict) else body
    except ValueError:
        body = message.data.decode()
    if isinstance(body, dict) and body.get("error", {}).get("err_code") == 10025:
        body["error"]["description"] = "<of Go>"
    return headers, body


class Both:
    """Asks both servers the same and compares."""

    def __init__(self, ours, theirs):
        self.connections = (ours, theirs)

    @staticmethod
    def same(pair, what):
        """Both must be the same, which is returned."""
        ours, theirs = pair
        assert ours == theirs, f"{what}\nours: {ours}\nreal: {theirs}"
        return ours

    async def alike(self, act, what=""):
        """What act(connection) gives, which must be the same for both."""
        return self.same(await asyncio.gather(*(act(nc) for nc in self.connections)), what)

    async def ask(self, subject, body=None, headers=None, api=True, without=None):
        """`without` names a key of the answers that may differ."""
        data = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        full = f"$JS.API.{subject}" if api else subject
        answers = [text(await nc.request(full, data, timeout=5, headers=headers)) for nc in self.connections]
        if without is not None:
            for _, content in answers:
                content.pop(without, None)
        self.same(answers, f"{subject} {body}")
        return answers[0][1]

    async def put(self, subject, body="", headers=None):
        return await self.ask(subject, body, headers, api=False)

    async def many(self, subject, body):
        """All answers up to an end of batch, or the only one."""
        found = []
        for nc in self.connections:
            inbox = nc.new_inbox()
            subscription = await nc.subscribe(inbox)
            await nc.publish(f"$JS.API.{subject}", json.dumps(body).encode(), reply=inbox)
            answers = []
            while True:
                message = await subscription.next_msg(timeout=5)
                answers.append(text(message))
                if "Nats-Num-Pending" not in (message.headers or {}) or (message.headers or {}).get("Status"):
                    break
            await subscription.unsubscribe()
            found.append(answers)
        self.same(found, f"{subject} {body}")
        return found[0]

    async def settle(self, stream, **expected):
        """Until both streams look like this."""
        for nc in self.connections:
            for _ in range(200):
                state = json.loads((await nc.request(f"$JS.API.STREAM.INFO.{stream}", timeout=5)).data)["state"]
                if all(state.get(key, 0) == value for key, value in expected.items()):
                    break
                await asyncio.sleep(0.02)
            assert {key: state.get(key, 0) for key in expected} == expected

    async def consume(self, stream, consumer, count, ack=b"+ACK"):
        for nc in self.connections:
            inbox = nc.new_inbox()
            subscription = await nc.subscribe(inbox)
            request = {"batch": count, "expires": 2_000_000_000}
            await nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", json.dumps(request).encode(), reply=inbox)
            for _ in range(count):
                message = await subscription.next_msg(timeout=5)
                if ack:
                    await nc.request(message.reply, ack, timeout=5)
            await subscription.unsubscribe()
