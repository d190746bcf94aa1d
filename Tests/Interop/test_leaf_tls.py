"""Leaf links inside TLS to a real nats-server: upgrade, TLS first, client certificates, and what is said when there is none."""

import nats
import pytest

from servers import until as wait
from waiting import until, until_interest, until_linked


def remote(hub, tls="", scheme="nats-leaf", host="127.0.0.1"):
    return f'leafnodes {{ reconnect: "100ms", remotes: [ {{ url: "{scheme}://{host}:{hub.leaf_port}", {tls} }} ] }}'


async def crosses(edge, upstream, client):
    """One message each way."""
    at_edge, at_hub = await client(edge), await client(upstream)
    here, there = await at_edge.subscribe("down"), await at_hub.subscribe("up")
    await at_edge.flush()
    await at_hub.flush()
    await until_interest(upstream, "down")
    await at_hub.publish("down", b"x" * 100_000)
    assert len((await here.next_msg(5)).data) == 100_000

    async def arrives():
        # The hub's interest travels to the edge in its own time.
        await at_edge.publish("up", b"up")
        try:
            return await there.next_msg(0.2)
        except nats.errors.TimeoutError:
            return None

    await until(arrives)


@pytest.mark.smoke
@pytest.mark.parametrize(
    "hub_tls, tls, scheme",
    [
        ("{server}", "tls {{ {ca} }}", "nats-leaf"),
        ("{server}", "tls {{ {ca} }}", "tls"),
        ("{server} handshake_first: true", "tls {{ {ca} handshake_first: true }}", "tls"),
        ("{server} handshake_first: auto", "tls {{ {ca} }}", "tls"),
        ("{server} handshake_first: auto", "tls {{ {ca} handshake_first: true }}", "tls"),
        ("{server} verify: true", "tls {{ {client} }}", "tls"),
        ("{server} verify: true, min_version: \"1.3\"", "tls {{ {client} min_version: \"1.3\" }}", "nats-leaf"),
        ("{server}", "tls {{ insecure: true }}", "tls"),
    ],
)
async def test_a_link_inside_tls(petiole, hub, client, certificates, hub_tls, tls, scheme):
    names = {"server": certificates.files("server", "ca"), "ca": certificates.files(None, "ca"), "client": certificates.files("client", "ca")}
    upstream = hub(leaf="tls { " + hub_tls.format(**names) + " }")
    edge = petiole(remote(upstream, tls.format(**names), scheme))
    await until_linked(upstream)
    await crosses(edge, upstream, client)


@pytest.mark.parametrize(
    "certificate, hub_extra, tls, scheme, says",
    [
        ("elsewhere", "", "tls {{ {ca} }}", "tls", 'the certificate is for "elsewhere.example", not for "127.0.0.1"'),
        ("expired", "", "tls {{ {ca} }}", "tls", 'the certificate of "CN=expired,O=Example" has expired at '),
        ("stranger", "", "tls {{ {ca} }}", "tls", 'signed by an unknown authority, "CN=other-ca,O=Example": name its certificate in ca_file'),
        # Nothing is configured: the hub asks for TLS, and the machine's authorities do not know it.
        ("server", "", "", "nats-leaf", "signed by an unknown authority"),
        ("server", "verify: true", "tls {{ {ca} }}", "tls", "it requires a client certificate: set cert_file and key_file"),
        (None, "", "tls {{ {ca} }}", "tls", "TLS is configured for this hub, and the hub offers none"),
        ("server", "", "tls {{ {ca} handshake_first: true }}", "tls", "the server does not speak TLS here"),
    ],
)
async def test_a_link_that_cannot_be_says_why_and_tries_again(petiole, hub, certificates, certificate, hub_extra, tls, scheme, says):
    files = {"ca": certificates.files(None, "ca")}
    upstream = hub(leaf=f"tls {{ {certificates.files(certificate, 'ca')} {hub_extra} }}" if certificate else True)
    edge = petiole(remote(upstream, tls.format(**files), scheme))
    wait(lambda: edge.log().count(says) >= 2, 15, f"the log says twice: {says}\n{edge.log()}")
    assert upstream.json("/leafz")["leafnodes"] == 0


async def test_only_the_pinned_hub_is_taken(petiole, hub, client, certificates):
    upstream = hub(leaf=f"tls {{ {certificates.files('server', 'ca')} }}")
    other = petiole(remote(upstream, f"tls {{ {certificates.files(None, 'ca')} pinned_certs: [\"{'ab' * 32}\"] }}"), name="other")
    wait(lambda: "is none of pinned_certs" in other.log(), 10, "the refusal")
    pin = other.log().split("its SHA-256 is ")[1][:64]
    petiole(remote(upstream, f"tls {{ {certificates.files(None, 'ca')} pinned_certs: [\"{pin}\"] }}"))
    await until_linked(upstream)


async def test_a_renewed_hub_and_a_renewed_authority_need_no_restart(petiole, hub, certificates, tmp_path):
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(open(certificates.path("other-ca.pem")).read())
    upstream = hub(leaf=f"tls {{ {certificates.files('server', 'ca')} }}")
    edge = petiole(remote(upstream, f'tls {{ ca_file: "{trusted}" }}'))
    wait(lambda: "unknown authority" in edge.log(), 10, "the refusal")
    trusted.write_text(open(certificates.path("ca.pem")).read())
    edge.signal(1)
    await until_linked(upstream)


@pytest.mark.parametrize("first", ["false", "true"])
async def test_the_uplink_measures_and_links_through_tls(petiole, hub, client, certificates, first):
    upstream = hub(leaf=f"tls {{ {certificates.files('server', 'ca')} handshake_first: {first} }}")
    edge = petiole(
        f"""uplink {{
          tls {{ {certificates.files(None, 'ca')} handshake_first: {first} }}
          clusters: [ {{ name: near, urls: ["tls://127.0.0.1:{upstream.leaf_port}"] }} ]
        }}"""
    )
    await until_linked(upstream)
    await crosses(edge, upstream, client)
    [cluster] = wait(
        lambda: [c for c in edge.json("/uplinkz")["clusters"] if c.get("rtt_us")], 10, "a round trip of the cluster"
    )
    # On the loopback; with a handshake counted in it would be several milliseconds.
    assert 0 < cluster["rtt_us"] < 100_000
