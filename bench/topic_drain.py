"""A backlog of a million messages and a way to the hub: how fast it goes, what that costs the edge, and what passes on the wire.

The hub is the same nats-server for all. Its stream sources the edge's stream, which is how nats-server drains a leaf; or the agent forwards, in
batches where the hub's stream takes them and message by message where it does not."""

import time

import process
from rig import make_stream, request, stored
from rows import Row
from servers import until
from topic_leaf import item, linked
from wire import Wire

SUBJECTS = 100
STREAM = {"name": "BACKLOG", "subjects": ["backlog.>"]}
DRAIN_SECONDS_MAX = 600


def rows(rig):
    count = rig.count(1_000_000)

    def measured(edge, hub, begin):
        """Of one drain from `begin` to the last message in the hub's stream: messages a second, CPU seconds of the edge, bytes each."""
        wire, cpu, began = Wire(hub.leaf_port), process.cpu_seconds(edge.pid), time.monotonic()
        begin()
        until(lambda: stored(hub.port, "ALL") == count, DRAIN_SECONDS_MAX, f"the backlog is at the hub: {stored(hub.port, 'ALL')}", every=0.05)
        seconds = time.monotonic() - began
        cpu = process.cpu_seconds(edge.pid) - cpu
        return count / seconds, cpu, (Wire(hub.leaf_port).payload - wire.payload) / count

    def fill(edge):
        rig.fill(edge, "backlog.", SUBJECTS, count)

    def sourced(mode):
        def run(side):
            edge, hub = linked(rig, side, mode, hub_jetstream="domain: hub", jetstream="domain: edge")
            make_stream(edge, **STREAM)
            fill(edge)
            source = {"name": "BACKLOG", "external": {"api": "$JS.edge.API"}}
            return measured(edge, hub, lambda: make_stream(hub, name="ALL", sources=[source]))

        return run

    def forwarded(mode, is_batched):
        def run(side):
            edge, hub = linked(
                rig, side, mode, hub_jetstream="domain: hub", jetstream="domain: edge",
                config='streams: [ { name: BACKLOG, subjects: ["backlog.>"] } ]\nforward: [ { stream: BACKLOG } ]')  # fmt: skip
            make_stream(hub, name="ALL", subjects=["backlog.>"], allow_batched=is_batched)
            request(edge, "$PETIOLE.FORWARD.BACKLOG.PAUSE")
            fill(edge)
            return measured(edge, hub, lambda: request(edge, "$PETIOLE.FORWARD.BACKLOG.RESUME"))

        return run

    thousands = f"{count // 1000:,} k"
    for mode in ("off",) if rig.quick else ("off", "s2_fast"):
        both = rig.compare(f"{thousands} sourced by the hub, {mode}", sourced(mode), rounds=1 if rig.quick else 2)
        yield from shown(f"{thousands} of 128 B, {mode}, sourced by the hub", both)
        for is_batched in (True, False):
            how = "in batches" if is_batched else "one by one"
            ours = rig.compare(f"{thousands} forwarded {how}, {mode}", forwarded(mode, is_batched), ("petiole",), rounds=1 if rig.quick else 2)
            yield from shown(f"  forwarded {how} (theirs sourced)", {**ours, "default": both["default"]})


def shown(what, both):
    yield Row("drain", what, "msg/s", item(both, 0), more_is_better=True)
    yield Row("drain", "    CPU of the edge", "s", item(both, 1))
    yield Row("drain", "    on the wire each, without TCP and IP", "B", item(both, 2))
