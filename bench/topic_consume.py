"""Pull consumers: messages fetched and acknowledged."""

import asyncio
import json

import nats

from rig import DEFAULT, column, make_bench_stream
from rows import Row

BATCH = 100


def rows(rig):
    count = rig.count(200_000)

    def fetched(side):
        # Stored without waiting for syncs, whatever the side does then.
        server = rig.server(side, jetstream=DEFAULT)
        make_bench_stream(server)
        rig.fill(server, "bench.js", 1, count)
        rig.restarted(server, side.jetstream)
        asyncio.run(make_consumer(server))
        return rig.measured(server, lambda: rig.load("fetch", server.port, count, BATCH, "BENCH", "C"))

    three = rig.compare("fetch and ack", fetched, ("petiole", "synced", "default"))
    share = three["petiole"].load_share
    yield Row("consume", f"fetched and acked, {BATCH} at a time, 128 B", "msg/s", column(three, "rate"), load_share=share)
    yield Row("consume", "  CPU per message", "us", column(three, "cpu_us"))


async def make_consumer(server):
    nc = await nats.connect(server.url)
    body = {"stream_name": "BENCH", "config": {"durable_name": "C", "ack_policy": "explicit", "max_ack_pending": 10_000}}
    answer = json.loads((await nc.request("$JS.API.CONSUMER.DURABLE.CREATE.BENCH.C", json.dumps(body).encode(), timeout=20)).data)
    assert "error" not in answer, answer
    await nc.close()
