"""Taking and restoring backups of streams, and what a stream is compared by. As a program it records backups of nats-servers of other
versions, which write another format, for the tests:

    .venv/bin/python Tests/Interop/backups.py NATS_SERVER...    # writes Tests/Vectors/backups/VERSION.json
"""

import asyncio
import base64
import hashlib
import json
import random
import subprocess
import sys
import tempfile

import nats

from servers import REPOSITORY, Server

VECTORS = REPOSITORY / "Tests/Vectors/backups"


async def ask(nc, subject, body=None, timeout=10):
    reply = await nc.request(subject, json.dumps(body).encode() if body is not None else b"", timeout=timeout)
    return json.loads(reply.data)


async def backup(nc, stream, **options):
    """The config, the state and the bytes of a stream's backup."""
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    answer = await ask(nc, f"$JS.API.STREAM.SNAPSHOT.{stream}", {"deliver_subject": inbox, **options})
    assert "error" not in answer, answer
    data = b""
    chunks = 0
    while True:
        msg = await sub.next_msg(timeout=10)
        if not msg.data:
            break
        data += msg.data
        if msg.reply:
            chunks += 1
            await nc.publish(msg.reply, b"")
    await sub.unsubscribe()
    status = (msg.headers or {}).get("Status")
    assert status in (None, "204"), msg.headers
    return answer["config"], answer["state"], data, chunks


async def restore(nc, config, state, data, size=60_000):
    answer = await ask(nc, f"$JS.API.STREAM.RESTORE.{config['name']}", {"config": config, "state": state})
    if "error" in answer:
        return answer
    target = answer["deliver_subject"]
    for at in range(0, len(data), size):
        reply = await nc.request(target, data[at : at + size], timeout=10)
        if reply.data:
            return json.loads(reply.data)
    return json.loads((await nc.request(target, b"", timeout=10)).data)


async def fill(nc, storage="file"):
    """A stream with gaps, headers, large and empty messages, and consumers that are in the middle of their work."""
    config = {"name": "S", "subjects": ["s.>"], "storage": storage, "max_msgs_per_subject": 500, "metadata": {"site": "north"}}
    assert "error" not in await ask(nc, "$JS.API.STREAM.CREATE.S", config)
    js = nc.jetstream()
    for number in range(300):
        headers = {"Number": str(number)} if number % 3 == 0 else None
        await js.publish(f"s.{number % 7}", random.Random(number).randbytes(number * 37 % 5000), headers=headers)
    for sequence in (1, 2, 10, 11, 12, 150, 300):
        await ask(nc, "$JS.API.STREAM.MSG.DELETE.S", {"seq": sequence})
    for name, consumer in {
        "D": {"durable_name": "D", "ack_policy": "explicit", "max_ack_pending": 100, "ack_wait": 3_600_000_000_000},
        "F": {"durable_name": "F", "ack_policy": "all", "filter_subject": "s.3"},
        "P": {"durable_name": "P", "ack_policy": "none", "deliver_subject": "nobody.listens"},
    }.items():
        answer = await ask(nc, f"$JS.API.CONSUMER.DURABLE.CREATE.S.{name}", {"stream_name": "S", "config": consumer})
        assert "error" not in answer, answer
    sub = await js.pull_subscribe_bind("D", stream="S")
    messages = await sub.fetch(20, timeout=5)
    for message in messages[:5] + messages[8:10]:
        await message.ack_sync()
    other = await js.pull_subscribe_bind("F", stream="S")
    messages = await other.fetch(4, timeout=5)
    await messages[3].ack_sync()
    return config


async def contents(nc, stream="S"):
    """What a restored stream must agree in: its state, its messages, and where its consumers are."""
    info = await ask(nc, f"$JS.API.STREAM.INFO.{stream}", {"deleted_details": True})
    messages = {}
    for sequence in range(1, info["state"]["last_seq"] + 1):
        answer = await ask(nc, f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": sequence})
        if "message" in answer:
            messages[sequence] = answer["message"]
    consumers = (await ask(nc, f"$JS.API.CONSUMER.LIST.{stream}", {}))["consumers"]
    places = {}
    for consumer in sorted(consumers, key=lambda one: one["name"]):
        places[consumer["name"]] = {
            key: consumer[key] for key in ("delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_pending")
        } | {"config": {k: v for k, v in consumer["config"].items() if k != "metadata"}}
        for pair in ("delivered", "ack_floor"):
            places[consumer["name"]][pair] = {k: v for k, v in consumer[pair].items() if k != "last_active"}
    # The last message is removed: nothing in a backup says when it came.
    state = {k: v for k, v in info["state"].items() if k != "last_ts"}
    return state, messages, places


def digest(message):
    """What stands for a message in a recording."""
    parts = (message["subject"], message["time"], message.get("hdrs", ""), message.get("data", ""))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


async def work(nc, name, places):
    """Consumers in the middle of their work: `places` says what each has fetched and what of it it acknowledged."""
    js = nc.jetstream()
    for consumer, (config, fetched, acked) in places.items():
        answer = await ask(
            nc, f"$JS.API.CONSUMER.DURABLE.CREATE.{name}.{consumer}",
            {"stream_name": name, "config": {"durable_name": consumer, "ack_wait": 3_600_000_000_000, **config}},
        )  # fmt: skip
        assert "error" not in answer, answer
        if not fetched:
            continue
        sub = await js.pull_subscribe_bind(consumer, stream=name)
        messages = await sub.fetch(fetched, timeout=5)
        for index in acked:
            await messages[index].ack_sync()


async def fill_old(nc, version):
    """Two streams with all that the block files of a nats-server can hold; small when packed."""
    hour = 3_600_000_000_000
    plain = {"name": "PLAIN", "subjects": ["p.>"], "max_bytes": 150_000, "max_msgs_per_subject": 45}
    packed = {"name": "PACKED", "subjects": ["q.>"], "compression": "s2", "metadata": {"site": "north"}}
    if version >= (2, 11):
        packed |= {"allow_msg_ttl": True, "allow_rollup_hdrs": True}
    js = nc.jetstream()
    for config in (plain, packed):
        answer = await ask(nc, f"$JS.API.STREAM.CREATE.{config['name']}", config)
        assert "error" not in answer, answer
    # More than one block (they have 37 kB here), of which the first loses its head to the limits.
    for number in range(230):
        headers = {"Number": str(number), "Nats-Msg-Id": f"id-{number}"} if number % 3 == 0 else None
        await js.publish(f"p.{number % 7}", f"{number} ".encode() * (number * 37 % 400), headers=headers)
    for sequence in (200, 201, 205, 230):
        await ask(nc, "$JS.API.STREAM.MSG.DELETE.PLAIN", {"seq": sequence, "no_erase": sequence % 2 == 0})
    await ask(nc, "$JS.API.STREAM.PURGE.PLAIN", {"filter": "p.4"})
    for number in range(40):
        # Long enough for recordings to outlive their makers.
        headers = {"Nats-TTL": "876000h"} if number % 5 == 0 and version >= (2, 11) else None
        await js.publish(f"q.{number % 3}", b"x" * number, headers=headers)
    await ask(nc, "$JS.API.STREAM.PURGE.PACKED", {"seq": 5})
    for sequence in (17, 18, 40):
        await ask(nc, "$JS.API.STREAM.MSG.DELETE.PACKED", {"seq": sequence})
    await work(nc, "PLAIN", {
        "D": ({"ack_policy": "explicit", "max_ack_pending": 100}, 20, (0, 1, 2, 5, 9)),
        "F": ({"ack_policy": "all", "filter_subject": "p.3"}, 4, (2,)),
        "P": ({"ack_policy": "none", "deliver_subject": "nobody.listens"}, 0, ()),
    })  # fmt: skip
    await work(nc, "PACKED", {"a-consumer-with-a-name-of-many-letters" * 5: ({"ack_policy": "explicit", "backoff": [hour]}, 3, (1,))})
    # Purged to the end: nothing is left but where it goes on.
    await ask(nc, "$JS.API.STREAM.CREATE.EMPTY", {"name": "EMPTY", "subjects": ["e"]})
    for _ in range(5):
        await js.publish("e", b"gone")
    await ask(nc, "$JS.API.STREAM.PURGE.EMPTY")


async def record(binary):
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split("v")[-1].strip()
    with tempfile.TemporaryDirectory() as directory:
        server = Server(binary, directory, "old", jetstream=True).start()
        try:
            nc = await nats.connect(server.url)
            await fill_old(nc, tuple(int(part) for part in text.split(".")))
            streams = []
            for name in ("PLAIN", "PACKED", "EMPTY"):
                config, state, data, _ = await backup(nc, name)
                held, messages, consumers = await contents(nc, name)
                streams.append({
                    "config": config, "state": state, "data": base64.b64encode(data).decode(),
                    "contents": {
                        "state": held, "consumers": consumers,
                        "messages": {sequence: digest(message) for sequence, message in messages.items()},
                    },
                })  # fmt: skip
            await nc.close()
        finally:
            server.stop()
    VECTORS.mkdir(exist_ok=True)
    path = VECTORS / f"{text}.json"
    path.write_text(json.dumps(streams, indent=0) + "\n")
    print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    for one in sys.argv[1:]:
        asyncio.run(record(one))
