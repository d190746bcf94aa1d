"""Key-value buckets: put, get, and the first values that a watch brings."""

import json

from rig import DEFAULT, column, make_stream
from rows import Row

SIDES = ("petiole", "synced", "default")
BUCKET = {
    "name": "KV_B", "subjects": ["$KV.B.>"], "max_msgs_per_subject": 1, "discard": "new", "allow_rollup_hdrs": True, "deny_delete": True,
    "allow_direct": True, "num_replicas": 1,
}  # fmt: skip
KEY = "$KV.B.k"


def rows(rig):
    keys = rig.count(100_000)
    for window in (1, 100):

        def put(side, window=window):
            server = rig.server(side, jetstream=side.jetstream)
            make_stream(server, **BUCKET)
            return rig.measured(server, lambda: rig.publish(server, KEY, 1000, window=window, seconds=rig.seconds))

        three = rig.compare(f"KV put, {window} in flight", put, SIDES)
        yield Row("kv", f"put, 1000 keys, 128 B, {window} in flight", "msg/s", column(three, "rate"), load_share=three["petiole"].load_share)

    def filled(side):
        server = rig.server(side, jetstream=DEFAULT)
        make_stream(server, **BUCKET)
        rig.fill(server, KEY, keys, keys)
        return rig.restarted(server, side.jetstream)

    for window in (1, 100):

        def get(side, window=window):
            server = filled(side)
            subject = "$JS.API.DIRECT.GET.KV_B." + KEY
            return rig.measured(server, lambda: rig.publish(server, subject, keys, size=0, window=window, seconds=rig.seconds))

        three = rig.compare(f"KV get, {window} in flight", get, SIDES)
        yield Row("kv", f"get, {keys:,} keys, {window} in flight", "msg/s", column(three, "rate"), load_share=three["petiole"].load_share)

    def watch(side):
        server = filled(side)
        config = {
            "deliver_subject": "bench.watch", "deliver_policy": "last_per_subject", "ack_policy": "none", "filter_subject": "$KV.B.>",
            "max_deliver": 1, "mem_storage": True, "num_replicas": 1, "replay_policy": "instant",
        }  # fmt: skip
        body = json.dumps({"stream_name": "KV_B", "config": config}).replace(" ", "")
        return rig.measured(server, lambda: rig.load("deliver", server.port, keys, "bench.watch", "$JS.API.CONSUMER.CREATE.KV_B", body))

    three = rig.compare("KV watch", watch, SIDES)
    yield Row("kv", f"watch, first values of {keys:,} keys", "msg/s", column(three, "rate"), load_share=three["petiole"].load_share)
