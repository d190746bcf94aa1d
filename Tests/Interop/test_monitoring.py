"""The monitoring pages that nats-top, the Prometheus exporter and operators read."""

import pytest

from rawclient import RawClient

pytestmark = pytest.mark.smoke

VARZ_KEYS = {
    "server_id", "server_name", "version", "proto", "host", "port", "max_connections", "ping_interval", "ping_max", "http_host",
    "http_port", "max_control_line", "max_payload", "max_pending", "start", "now", "uptime", "mem", "cores", "cpu", "connections",
    "total_connections", "leafnodes", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "slow_consumers", "subscriptions", "jetstream",
}  # fmt: skip


def test_varz_has_the_keys_that_tools_read_and_counts(petiole):
    server = petiole(jetstream=True)
    before = server.json("/varz")
    assert VARZ_KEYS <= set(before), VARZ_KEYS - set(before)
    with RawClient(server.port) as raw:
        raw.connect()
        raw.send("SUB a 1\r\nPUB a 5\r\nhello\r\nPUB b 3\r\nxyz\r\n")
        raw.flush()
        now = server.json("/varz")
    assert now["connections"] == 1 and now["subscriptions"] > 0
    assert now["in_msgs"] - before["in_msgs"] == 2 and now["in_bytes"] - before["in_bytes"] == 8
    assert now["out_msgs"] - before["out_msgs"] == 1 and now["out_bytes"] - before["out_bytes"] == 5
    assert now["port"] == server.port and now["server_name"] == "edge"


def test_types_are_those_of_nats_server(petiole, hub):
    """Every number, text and map of ours is one in the original too, where both have the key."""

    def kinds(value):
        if isinstance(value, dict):
            return {key: kinds(item) for key, item in value.items()}
        return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__

    def agree(ours, theirs, path):
        for key in ours.keys() & theirs.keys():
            if isinstance(ours[key], dict) and isinstance(theirs[key], dict):
                agree(ours[key], theirs[key], f"{path}.{key}")
            else:
                assert ours[key] == theirs[key], f"{path}.{key}"

    ours, theirs = petiole(jetstream=True), hub(jetstream=True)
    for page in ("/varz", "/jsz", "/leafz", "/healthz"):
        agree(kinds(ours.json(page)), kinds(theirs.json(page)), page)


def test_healthz_is_ok(petiole):
    assert petiole(jetstream=True).json("/healthz") == {"status": "ok"}


async def test_jsz_counts_streams_consumers_and_messages(petiole, client):
    server = petiole(jetstream=True)
    js = (await client(server)).jetstream()
    await js.add_stream(name="S", subjects=["s"])
    await js.add_consumer("S", durable_name="c", ack_policy="explicit")
    for _ in range(5):
        await js.publish("s", b"x")
    page = server.json("/jsz")
    assert (page["streams"], page["consumers"], page["messages"]) == (1, 1, 5)
    assert page["bytes"] > 0 and page["config"]["store_dir"]
    detail = server.json("/jsz?streams=true&consumers=true&config=true")["account_details"][0]["stream_detail"][0]
    assert detail["name"] == "S" and detail["state"]["messages"] == 5 and detail["config"]["subjects"] == ["s"]
    assert detail["consumer_detail"][0]["name"] == "c"


def test_leafz_is_empty_without_links(petiole):
    page = petiole().json("/leafz")
    assert page["leafnodes"] == 0 and page["server_id"]


def test_unknown_pages_and_broken_requests(petiole):
    server = petiole()
    assert server.get("/nonsense")[0] == 404
    for request in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x00" * 100, b"GET " + b"/a" * 50_000 + b" HTTP/1.1\r\n\r\n", b"POST /varz HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
        with RawClient(server.monitor_port, read_info=False) as raw:
            raw.send(request)
    assert server.json("/varz")["server_id"]


@pytest.mark.ours
def test_uplinkz_without_an_uplink(petiole):
    status, _ = petiole().get("/uplinkz")
    assert status == 200
