"""Leaf links that prove who they are, to a real hub and as one, and links of several accounts."""

import asyncio

import nats
import pytest

from keys import Operator, account_key, creds, user_key, user_token
from servers import NATS_SERVER, PETIOLE
from waiting import leafs, until, until_interest, until_linked

ACCOUNTS = """
accounts {
  A { users: [ {user: a, password: a}, {nkey: %s} ] }
  B { users: [ {user: b, password: b} ] }
}
"""


def remotes(*links):
    return 'leafnodes { reconnect: "100ms", remotes: [ %s ] }' % ", ".join("{ %s }" % link for link in links)


def url(hub, who=""):
    return 'url: "%s"' % hub.leaf_url.replace("://", f"://{who}@" if who else "://")


async def carries(upstream, client_options, edge, edge_options, client):
    """Whether a message of the edge arrives at the hub, and one of the hub at the edge."""
    above, below = await client(upstream, **client_options), await client(edge, **edge_options)
    got_above, got_below = await above.subscribe("up"), await below.subscribe("down")
    await above.flush()
    await below.flush()
    for sender, subject, listener in ((below, b"up", got_above), (above, b"down", got_below)):

        async def arrives():
            await sender.publish(subject.decode(), b"x")
            try:
                return await listener.next_msg(0.2)
            except nats.errors.TimeoutError:
                return None

        await until(arrives, what=subject.decode())


@pytest.fixture
def hub_key():
    return user_key()


@pytest.mark.parametrize("kind", ["password", "nkey", "token"])
async def test_a_link_gets_into_the_account_of_its_user(kind, hub, petiole, client, hub_key):
    if kind == "token":
        upstream, who, proof, user = hub('authorization { token: "tok" }'), "tok", "", {"token": "tok"}
    else:
        upstream, user = hub(ACCOUNTS % hub_key.public), {"user": "a", "password": "a"}
        who, proof = ("a:a", "") if kind == "password" else ("", f', nkey: "{hub_key.seed}"')
    edge = petiole(remotes(url(upstream, who) + proof))
    await until_linked(upstream)
    if kind != "token":
        assert leafs(upstream)[0]["account"] == "A"
    await carries(upstream, user, edge, {}, client)


@pytest.mark.parametrize("who, proof", [("a:b", ""), ("", ""), ("", 'nkey: "%s"')])
async def test_a_wrong_proof_is_refused_and_tried_again(who, proof, hub, petiole):
    upstream = hub(ACCOUNTS % user_key().public)
    edge = petiole(remotes(", ".join(part for part in (url(upstream, who), proof % user_key().seed if proof else "") if part)))
    await until(lambda: edge.log().count("Authorization Violation") > 1)
    assert leafs(upstream) == []


async def test_credentials_are_read_for_each_connection(hub, petiole, client, tmp_path):
    operator, account = Operator(), account_key()
    operator.add(account)
    upstream = hub(operator.config())
    path = tmp_path / "edge.creds"
    edge = petiole(remotes(url(upstream) + f', credentials: "{path}"'))
    # There is no file yet.
    await until(lambda: edge.log().count("edge.creds") > 1)
    strange = user_key()
    path.write_text(creds(user_token(strange, account_key()), strange))
    await until(lambda: "Authorization Violation" in edge.log())
    key = user_key()
    path.write_text(creds(user_token(key, account), key))
    await until_linked(upstream)
    assert leafs(upstream)[0]["account"] == account.public
    other = user_key()
    path.write_text(creds(user_token(other, account), other))
    upstream.kill()
    upstream.start()
    await until_linked(upstream)
    jwt, mine = user_token(key, account), tmp_path / "me.creds"
    mine.write_text(creds(jwt, key))
    await carries(upstream, {"user_credentials": str(mine)}, edge, {}, client)
    log = edge.log()
    assert "eyJ" not in log and not any(secret.seed in log for secret in (strange, key, other))


async def test_several_remotes_lead_to_several_accounts(hub, petiole, client):
    upstream = hub(ACCOUNTS % user_key().public)
    edge = petiole(
        "accounts { X { users: [ {user: x, password: x} ] }, Y { users: [ {user: y, password: y} ] } }\n"
        + remotes(url(upstream, "a:a") + ", account: X", url(upstream, "b:b") + ", account: Y")
    )
    await until_linked(upstream, 2)
    people = {name: await client(server, user=name, password=name) for server, name in ((upstream, "a"), (upstream, "b"), (edge, "x"), (edge, "y"))}
    heard = {name: await nc.subscribe("s.>") for name, nc in people.items()}
    for nc in people.values():
        await nc.flush()
    await until_interest(upstream, "s.>")
    await until(lambda: sum("s.>" in (leaf.get("subscriptions_list") or []) for leaf in leafs(upstream) + leafs(edge)) == 4)
    for name, nc in people.items():
        await nc.publish(f"s.{name}", b"")
        await nc.flush()
    partners = {"a": "x", "x": "a", "b": "y", "y": "b"}
    for name in people:
        subjects = {(await heard[name].next_msg(5)).subject for _ in range(2)}
        assert subjects == {f"s.{name}", f"s.{partners[name]}"}
    await asyncio.sleep(0.2)
    assert all(sub.pending_msgs == 0 for sub in heard.values())
    assert {leaf["account"] for leaf in leafs(edge)} == {"X", "Y"}


async def test_an_uplink_and_its_forward_of_an_account(hub, petiole, client, tmp_path):
    operator, account = Operator(), account_key()
    operator.add(account, limits={"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1})
    upstream = hub(operator.config(), jetstream="domain: hub")
    key = user_key()
    path = tmp_path / "gateway.creds"
    path.write_text(creds(user_token(key, account), key))
    above = await client(upstream, user_credentials=str(path))
    await above.jetstream().add_stream(name="ALL", subjects=["site.>"])
    edge = petiole(
        f"""
        accounts {{ PLANT {{ jetstream: enabled, users: [ {{user: p, password: p}} ] }}, OTHER {{ jetstream: enabled, users: [ {{user: o, password: o}} ] }} }}
        uplink {{ account: PLANT, credentials: "{path}", clusters: [ {{ name: hub, url: "{upstream.leaf_url}" }} ] }}
        streams: [ {{ name: T, account: PLANT, subjects: ["t.>"] }}, {{ name: T, account: OTHER, subjects: ["t.>"] }} ]
        forward: [ {{ stream: T, account: PLANT, to: "site.1.t.>", filter: "t.>" }} ]
        """,
        jetstream="domain: gw",
    )
    plant, other = await client(edge, user="p", password="p"), await client(edge, user="o", password="o")
    for number in range(5):
        await plant.jetstream().publish("t.a", b"plant")
        await other.jetstream().publish("t.a", b"other")

    async def delivered():
        return (await above.jetstream().stream_info("ALL")).state.messages == 5

    await until(delivered)
    assert (await above.jetstream().get_msg("ALL", 5)).data == b"plant"
    await asyncio.sleep(0.2)
    assert await delivered()
    assert (await other.jetstream().stream_info("T")).state.messages == 5


# The hub is ours.

HUB = """
accounts {
  A { users: [ {user: a, password: a}, {nkey: %s}, {user: few, password: few, permissions {publish: "up.>", subscribe: "down.>"}} ], limits { max_leafs: 2 } }
  B { users: [ {user: b, password: "$2a$11$FXO7vZyEUWvbStDpWXdmz.79oJzHIpfjQxFIHdRsLSfSXFecWdqj2"}, {user: std, password: std, allowed_connection_types: [STANDARD]} ] }
}
"""


@pytest.mark.parametrize("kind", ["password", "nkey", "hash"])
async def test_a_real_server_gets_into_the_account_of_its_user(kind, hub, petiole, client, hub_key):
    upstream = petiole(HUB % hub_key.public, leaf=True, name="hub")
    who, proof, account, user = {
        "password": ("a:a", "", "A", "a"), "nkey": ("", f', nkey: "{hub_key.seed}"', "A", "a"), "hash": ("b:secret", "", "B", "b")
    }[kind]
    edge = hub(remotes(url(upstream, who) + proof), leaf=False, name="edge")
    await until_linked(upstream)
    assert [leaf["account"] for leaf in leafs(upstream)] == [account]
    await carries(upstream, {"user": user, "password": "secret" if user == "b" else user}, edge, {}, client)


@pytest.mark.parametrize("who", ["a:b", "", "std:std", "nobody:x", "b:wrong"])
async def test_a_real_server_without_proof_is_refused(who, hub, petiole):
    upstream = petiole(HUB % user_key().public, leaf=True, name="hub")
    edge = hub(remotes(url(upstream, who)), leaf=False, name="edge")
    await until(lambda: edge.log().count("Authorization Violation") > 1)
    assert leafs(upstream) == []


async def test_a_real_server_with_credentials(hub, petiole, client, tmp_path):
    operator, account = Operator(), account_key()
    operator.add(account)
    upstream = petiole(operator.config(), leaf=True, name="hub")
    key = user_key()
    path = tmp_path / "edge.creds"
    path.write_text(creds(user_token(key, account), key))
    edge = hub(remotes(url(upstream) + f', credentials: "{path}"'), leaf=False, name="edge")
    await until_linked(upstream)
    assert leafs(upstream)[0]["account"] == account.public
    await carries(upstream, {"user_credentials": str(path)}, edge, {}, client)


async def test_permissions_of_a_link_are_the_users(servers, client):
    """The same for a real hub and for ours: what comes through to whom."""
    outcomes = []
    for binary, name in ((NATS_SERVER, "real"), (PETIOLE, "ours")):
        upstream = servers(binary, name, config=HUB % user_key().public, leaf=True).start()
        edge = servers(NATS_SERVER, f"edge-{name}", config=remotes(url(upstream, "few:few"))).start()
        await until_linked(upstream)
        above, below = await client(upstream, user="a", password="a"), await client(edge)
        heard_above, heard_below = await above.subscribe(">"), await below.subscribe(">")
        await above.flush()
        await below.flush()
        await until_interest(upstream, ">")
        await asyncio.sleep(0.3)  # interest of the hub reaches the edge
        for sender in (above, below):
            for subject in ("up.a", "down.a", "other"):
                await sender.publish(subject, b"")
            await sender.flush()
        await asyncio.sleep(0.3)
        outcomes.append([sorted(message.subject for message in list(sub._pending_queue._queue)) for sub in (heard_above, heard_below)])
    assert outcomes[0] == outcomes[1]
    assert outcomes[1] == [sorted(["up.a", "down.a", "other", "up.a"]), sorted(["up.a", "down.a", "other", "down.a"])]


async def test_an_account_has_room_for_so_many_links(hub, petiole):
    upstream = petiole(HUB % user_key().public, leaf=True, name="hub")
    edges = [hub(remotes(url(upstream, "a:a")), leaf=False, name=f"edge{number}") for number in range(2)]
    await until_linked(upstream, 2)
    late = hub(remotes(url(upstream, "a:a")), leaf=False, name="late")
    await until(lambda: "maximum account active connections exceeded" in late.log())
    assert len(leafs(upstream)) == 2
    edges[0].stop()
    await until(lambda: any(leaf["name"] == "late" for leaf in leafs(upstream)))
