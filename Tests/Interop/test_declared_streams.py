"""Streams that the configuration file declares: what JetStream makes of them, and what a reload changes."""

import json
import signal

import pytest

from servers import until

pytestmark = pytest.mark.ours

DECLARED = """
streams: [
  {
    name: ALL, description: "everything", subjects: ["all.*"], retention: limits, storage: file, discard: new, max_consumers: 4
    max_msgs: 1k, max_bytes: 1MB, max_age: 24h, max_msgs_per_subject: 10, max_msg_size: 64KB, duplicate_window: 30s
    num_replicas: 1, compression: s2, first_seq: 7, allow_direct: true, discard_new_per_subject: true
    subject_transform { src: "all.*", dest: "every.{{wildcard(1)}}" }
    republish { src: "every.>", dest: "again.>", headers_only: true }
    consumer_limits { inactive_threshold: 30s, max_ack_pending: 5 }
    allow_msg_ttl: true, allow_rollup_hdrs: true, subject_delete_marker_ttl: 10s, allow_atomic: true, allow_batched: true
    metadata { team: ops }
    sources: [ { name: LATER, filter_subject: "later.1" } ]
  }
  { name: MIRROR, mirror { name: LATER, filter_subject: "later.>" } }
  { name: LATER, subjects: ["later.*"], max_age: 1h }
]
"""

# The first of them as a client of the real server would create it.
ALL = {
    "name": "ALL", "description": "everything", "subjects": ["all.*"], "retention": "limits", "storage": "file", "discard": "new",
    "max_consumers": 4, "max_msgs": 1000, "max_bytes": 1 << 20, "max_age": 24 * 3600 * 10**9, "max_msgs_per_subject": 10,
    "max_msg_size": 65536, "duplicate_window": 30 * 10**9, "num_replicas": 1, "compression": "s2", "first_seq": 7,
    "allow_direct": True, "discard_new_per_subject": True,
    "subject_transform": {"src": "all.*", "dest": "every.{{wildcard(1)}}"},
    "republish": {"src": "every.>", "dest": "again.>", "headers_only": True},
    "consumer_limits": {"inactive_threshold": 30 * 10**9, "max_ack_pending": 5},
    "allow_msg_ttl": True, "allow_rollup_hdrs": True, "subject_delete_marker_ttl": 10 * 10**9, "allow_atomic": True,
    "allow_batched": True, "metadata": {"team": "ops"}, "sources": [{"name": "LATER", "filter_subject": "later.1"}],
}  # fmt: skip


async def config(nc, name):
    answer = json.loads((await nc.request(f"$JS.API.STREAM.INFO.{name}")).data)
    return answer["config"]


async def test_declared_streams_are_what_nats_server_makes_of_the_same_configuration(petiole, hub, client):
    server = petiole(DECLARED, jetstream=True)
    ours, real = await client(server), await client(hub(jetstream=True))
    created = json.loads((await real.request("$JS.API.STREAM.CREATE.ALL", json.dumps(ALL).encode())).data)
    assert "error" not in created, created
    assert await config(ours, "ALL") == await config(real, "ALL")
    assert (await config(ours, "MIRROR"))["mirror"] == {"name": "LATER", "filter_subject": "later.>"}


async def test_a_reload_updates_declared_streams_and_says_what_cannot_change(petiole, client):
    server = petiole(DECLARED, jetstream=True)
    nc = await client(server)
    js = nc.jetstream()
    await js.publish("later.1", b"one")
    path = server.directory / "server.conf"
    text = path.read_text()
    path.write_text(
        text.replace("max_age: 1h", "max_age: 2h, republish { src: later.>, dest: echo.> }").replace(
            'filter_subject: "later.>"', 'filter_subject: "later.2"'
        )
    )
    server.signal(signal.SIGHUP)
    until(lambda: "Reloaded" in server.log(), 10, "the reload")
    later = await config(nc, "LATER")
    assert later["max_age"] == 2 * 3600 * 10**9 and later["republish"] == {"src": "later.>", "dest": "echo.>"}
    assert "stream MIRROR: stream mirror configuration can not be updated" in server.log()
    assert (await js.stream_info("LATER")).state.messages == 1

    path.write_text(text.replace("max_age: 1h", "max_age: 3600"))
    server.signal(signal.SIGHUP)
    until(lambda: "Reload failed" in server.log(), 10, "the refusal")
    assert "max_age: 3600 would be nanoseconds" in server.log()
    assert (await config(nc, "LATER"))["max_age"] == 2 * 3600 * 10**9
