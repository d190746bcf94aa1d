"""Clients of every kind come back by themselves when the agent was killed and started again: logged in anew, with their subscriptions,
and with what they published meanwhile.
"""

import asyncio

import nats
import pytest

from keys import creds, user_key, user_token
from test_operator import World
from test_tls import context
from waiting import until

KEY = user_key()
WORLD = World()
WORLD.operator.add(WORLD.account)


def logins(tmp_path, certificates):
    """Options of clients by what the server asks of them: {name: (configuration, [options of a client, ...])}."""
    seed, creds_file = tmp_path / "seed.nk", tmp_path / "user.creds"
    seed.write_text(KEY.seed)
    creds_file.write_text(creds(user_token(KEY, WORLD.account), KEY))
    users = f"authorization {{ users: [ {{user: u, password: p}}, {{nkey: {KEY.public}}} ] }}"
    tls = {"tls": context(certificates, certificate="client")}
    return {
        "nothing": ("", [{}, {"verbose": True}, {"pedantic": True}]),
        "token": ("authorization { token: secret }", [{"token": "secret"}]),
        "user and key": (users, [{"user": "u", "password": "p"}, {"nkeys_seed": str(seed)}]),
        "credentials": (WORLD.operator.config(), [{"user_credentials": str(creds_file)}]),
        "TLS": (f"tls {{ {certificates.files('server', 'ca')} verify: true }}", [tls]),
        "TLS first": (f"tls {{ {certificates.files('server')} handshake_first: true }}", [{**tls, "tls_handshake_first": True}]),
    }


@pytest.mark.parametrize("kind", ["nothing", "token", "user and key", "credentials", "TLS", "TLS first"])
async def test_clients_come_back_after_a_kill(petiole, certificates, tmp_path, kind):
    config, options = logins(tmp_path, certificates)[kind]
    server = petiole(config)
    clients = [await nats.connect(server.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1, **each) for each in options]
    held = []
    for number, nc in enumerate(clients):
        plain = await nc.subscribe(f"to.{number}")
        limited = await nc.subscribe(f"to.{number}")
        await limited.unsubscribe(limit=2)

        async def answer(message):
            await message.respond(b"answer")

        await nc.subscribe("service", queue="workers", cb=answer)
        await nc.flush()
        await nc.publish(f"to.{number}", b"before")
        assert (await plain.next_msg(5)).data == (await limited.next_msg(5)).data == b"before"
        held.append((plain, limited))
    server.kill()
    await until(lambda: not any(nc.is_connected for nc in clients), 10, "the clients have noticed")
    for number, nc in enumerate(clients):
        await nc.publish(f"to.{number}", b"meanwhile")
    server.start()
    for number, (nc, (plain, limited)) in enumerate(zip(clients, held)):
        assert (await plain.next_msg(10)).data == (await limited.next_msg(10)).data == b"meanwhile"
        await nc.publish(f"to.{number}", b"after")
        assert (await plain.next_msg(5)).data == b"after"
        assert (await nc.request("service", b"", timeout=5)).data == b"answer"
        assert limited.pending_msgs == 0 and nc.stats["reconnects"] == 1
        await nc.close()


async def test_a_client_is_not_let_in_again_with_a_login_that_counts_no_more(petiole):
    server = petiole("authorization { token: old }")
    errors = []

    async def failed(error):
        errors.append(str(error))

    closed = asyncio.Event()

    async def gone():
        closed.set()

    nc = await nats.connect(server.url, token="old", reconnect_time_wait=0.02, max_reconnect_attempts=2, error_cb=failed, closed_cb=gone)
    server.kill()
    server.config = "authorization { token: new }"
    server.start()
    await asyncio.wait_for(closed.wait(), 10)
    assert any("authorization violation" in error.lower() for error in errors), errors
    assert not nc.is_connected
