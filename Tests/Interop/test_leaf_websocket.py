"""Leaf links over WebSocket and through HTTP proxies, to a real nats-server."""

import asyncio
import base64
import random

import nats
import pytest

from connectproxy import ConnectProxy
from delayproxy import DelayProxy
from servers import until as wait
from waiting import leafs, until, until_interest, until_linked


def remote(url, extra=""):
    return f'leafnodes {{ reconnect: "200ms", remotes: [ {{ url: "{url}", {extra} }} ] }}'


async def exchange(edge, upstream, client):
    """Messages both ways with headers, large ones too, and a request each way."""
    at_edge, at_hub = await client(edge), await client(upstream)
    here = await at_edge.subscribe("down.>", pending_bytes_limit=-1)
    there = await at_hub.subscribe("up.>", pending_bytes_limit=-1)

    async def answer(request):
        await request.respond(b"yes " + request.data)

    await at_edge.subscribe("ask.edge", cb=answer)
    await at_hub.subscribe("ask.hub", cb=answer)
    await asyncio.gather(at_edge.flush(), at_hub.flush())
    await until_interest(upstream, "down.>")
    await until_interest(upstream, "ask.edge")
    assert (await at_hub.request("ask.edge", b"1", timeout=5)).data == b"yes 1"

    async def asked():
        try:
            return (await at_edge.request("ask.hub", b"2", timeout=0.5)).data
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
            return None

    assert await until(asked) == b"yes 2"
    generator = random.Random(3)
    payloads = [b"", generator.randbytes(1_000_000), *(generator.randbytes(generator.randrange(2000)) for _ in range(1000))]
    for publisher, subscription, subject in ((at_hub, here, "down.a"), (at_edge, there, "up.a")):
        for payload in payloads:
            await publisher.publish(subject, payload, headers={"Way": subject})
        await publisher.flush(20)
        for payload in payloads:
            message = await subscription.next_msg(10)
            assert message.data == payload and message.headers == {"Way": subject}


@pytest.mark.smoke
@pytest.mark.parametrize("masking", [True, False])
async def test_a_link_over_websocket_carries_both_ways(petiole, hub, client, masking):
    upstream = hub(websocket="")
    edge = petiole(remote(upstream.websocket_url, f"ws_no_masking: {str(not masking).lower()}"))
    await until_linked(upstream)
    await exchange(edge, upstream, client)
    (leaf,) = leafs(upstream)
    assert leaf["compression"] == "off" and leaf["name"] == "edge"


@pytest.mark.smoke
@pytest.mark.parametrize(
    "scheme, hub_extra, tls, extra",
    [("wss", "", "{ca}", ""), ("ws", "", "{ca}", "ws_no_masking: true"), ("wss", "verify: true", "{client} min_version: \"1.3\"", "")],
)
async def test_a_link_over_websocket_inside_tls(petiole, hub, client, certificates, scheme, hub_extra, tls, extra):
    names = {"ca": certificates.files(None, "ca"), "client": certificates.files("client", "ca")}
    upstream = hub(websocket=f"tls {{ {certificates.files('server', 'ca')} {hub_extra} }}")
    with ConnectProxy() as proxy:
        url = f"{scheme}://127.0.0.1:{upstream.websocket_port}"
        edge = petiole(remote(url, f'tls {{ {tls.format(**names)} }}, proxy {{ url: "{proxy.url}" }}, {extra}'))
        await until_linked(upstream)
        await exchange(edge, upstream, client)


@pytest.mark.parametrize(
    "certificate, tls, says",
    [
        ("stranger", "tls {{ {ca} }}", 'signed by an unknown authority, "CN=other-ca,O=Example": name its certificate in ca_file'),
        ("elsewhere", "tls {{ {ca} }}", 'the certificate is for "elsewhere.example", not for "127.0.0.1"'),
        # Without a block the machine's authorities count.
        ("server", "", "signed by an unknown authority"),
        (None, "tls {{ {ca} }}", "the server does not speak TLS here"),
    ],
)
async def test_a_websocket_is_not_made_outside_of_tls_or_with_somebody_else(petiole, hub, certificates, certificate, tls, says):
    upstream = hub(websocket=f"tls {{ {certificates.files(certificate, 'ca')} }}" if certificate else "")
    edge = petiole(remote(f"wss://127.0.0.1:{upstream.websocket_port}", tls.format(ca=certificates.files(None, "ca"))))
    await until(lambda: says in edge.log(), 10, f"{says} in {edge.log()}")
    assert leafs(upstream) == []


async def test_a_path_before_the_leaf_nodes_own_is_kept(petiole, hub):
    upstream = hub(websocket="")
    with ConnectProxy() as proxy:
        petiole(remote(upstream.websocket_url + "/site/a", f'proxy {{ url: "{proxy.url}" }}'))
        await until_linked(upstream)
    assert proxy.tunnels == [f"127.0.0.1:{upstream.websocket_port}"]


async def test_the_link_over_websocket_comes_back_after_every_kind_of_end(petiole, hub, client):
    upstream = hub(websocket="")
    proxy = DelayProxy(upstream.websocket_port)
    try:
        edge = petiole(remote(f"ws://127.0.0.1:{proxy.port}"))
        at_edge = await client(edge)
        await at_edge.subscribe("again")
        await at_edge.flush()
        for ending in (proxy.cut, upstream.kill, upstream.stop):
            await until_interest(upstream, "again")
            ending()
            proxy.restore() if ending == proxy.cut else upstream.start()
        await until_interest(upstream, "again")
    finally:
        proxy.close()


@pytest.mark.ours
async def test_what_is_no_websocket_is_told_so(petiole, hub):
    upstream = hub(websocket="")
    for port, words in ((upstream.monitor_port, "answered 404 Not Found"), (upstream.port, "does not speak HTTP")):
        edge = petiole(remote(f"ws://127.0.0.1:{port}"), name=f"edge{port}")
        await until(lambda: words in edge.log(), 10, f"{words} in {edge.log()}")
    assert leafs(upstream) == []


@pytest.mark.parametrize("scheme", ["nats-leaf", "ws"])
async def test_a_link_through_a_proxy_carries_both_ways_and_comes_back(petiole, hub, client, scheme):
    upstream = hub(websocket="")
    url = upstream.leaf_url if scheme == "nats-leaf" else upstream.websocket_url
    target = url.split("//")[1]
    with ConnectProxy("me:s:ecret") as proxy:
        edge = petiole(remote(url, f'proxy {{ url: "{proxy.url}", username: me, password: "s:ecret", timeout: "5s" }}'))
        await until_linked(upstream)
        await exchange(edge, upstream, client)
        proxy.cut()
        await until(lambda: proxy.tunnels == [target, target], 10)
        await until_linked(upstream)
    assert all(f"Proxy-Authorization: Basic {base64.b64encode(b'me:s:ecret').decode()}\r\n" in head for _, head in proxy.requests)


REFUSALS = [
    ({"credentials": "me:right"}, "", "wants authentication (407): set username and password"),
    ({"credentials": "me:right"}, 'username: me, password: wrong', "does not accept the username and password (407)"),
    ({"answer": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!"}, "", "refuses the tunnel: 403 Forbidden"),
    ({"answer": b"HTTP/1.1 502 Bad Gateway\r\n\r\n"}, "", "refuses the tunnel: 502 Bad Gateway"),
    ({"answer": b"INFO {}\r\n"}, "", "is not an HTTP proxy"),
    ({"answer": b"HTTP/1.1 200 " + b"x" * 10_000}, "", "is not an HTTP proxy"),
    ({"answer": b""}, 'timeout: "300ms"', "did not answer in time"),
]


@pytest.mark.ours
@pytest.mark.parametrize("proxy_options, extra, words", REFUSALS)
async def test_a_proxy_that_does_not_let_through_is_named_with_what_it_did(petiole, proxy_options, extra, words):
    with ConnectProxy(**proxy_options) as proxy:
        edge = petiole(remote("nats://127.0.0.1:1", f'proxy {{ url: "{proxy.url}", {extra} }}'))
        await until(lambda: words in edge.log(), 10, f"{words} in {edge.log()}")
        await until(lambda: len(proxy.requests) >= 2, 10, "another attempt")
    assert proxy.tunnels == []


@pytest.mark.ours
@pytest.mark.parametrize("scheme", ["nats-leaf", "ws", "wss"])
async def test_the_uplink_measures_and_links_through_a_proxy(petiole, hub, client, certificates, scheme):
    upstream = hub(websocket=f"tls {{ {certificates.files('server', 'ca')} }}" if scheme == "wss" else "")
    port = upstream.leaf_port if scheme == "nats-leaf" else upstream.websocket_port
    ways = {"near": DelayProxy(port, delay_ms=20), "far": DelayProxy(port, delay_ms=60)}
    clusters = ", ".join(f'{{ name: {name}, urls: ["{scheme}://127.0.0.1:{way.port}"] }}' for name, way in ways.items())
    with ConnectProxy() as proxy:
        try:
            tls = f"tls {{ {certificates.files(None, 'ca')} }}," if scheme == "wss" else ""
            edge = petiole(f'uplink {{ probe_interval: "1s", {tls} proxy {{ url: "{proxy.url}" }}, clusters: [ {clusters} ] }}')
            await until_linked(upstream)

            def measured():
                page = edge.json("/uplinkz")
                rtt_us = {one["name"]: one.get("rtt_us") for one in page["clusters"]}
                return rtt_us if page.get("cluster") == "near" and all(rtt_us.values()) else None

            rtt_us = await until(measured, 15, "both clusters are measured, and the nearer is used")
            # The test's own delay accepts by itself: a plain listener's INFO comes one way through it, a WebSocket's both.
            times = 1 if scheme == "nats-leaf" else 2
            for name, delay_us in (("near", 20_000), ("far", 60_000)):
                # A round trip that does not belong there would double it.
                assert delay_us * times * 0.95 < rtt_us[name] < delay_us * times * 1.5 + 30_000, rtt_us
            at_edge = await client(edge)
            await at_edge.subscribe("through")
            await at_edge.flush()
            await until_interest(upstream, "through")
            assert set(proxy.tunnels) == {f"127.0.0.1:{way.port}" for way in ways.values()}
        finally:
            for way in ways.values():
                way.close()
