"""What the system account is told of clients, side by side with a real nats-server."""

import json

import nats

from keys import Operator, account_key, creds, user_key, user_token
from sidebyside import Exchange, Pair, connect_line, login
from waiting import until

CONFIG = """
accounts {
  A { users: [ {user: a, password: a}, {nkey: %s} ] }
  SYS { users: [ {user: sys, password: sys} ] }
}
system_account: SYS
"""
# What differs from run to run, or in how many subscriptions a server has of its own.
VARIES = {"id", "timestamp", "server", "start", "stop", "rtt", "num_subscriptions"}


def pairs(value):
    """An object as its members in their order."""
    varies = VARIES
    if any(key == "conns" for key, _ in value):
        # nats-server counts what a client sends for the account that it is in before it says CONNECT.
        varies = VARIES | {"received"}
    return [(key, "" if key in varies else inner) for key, inner in value]


class Listener:
    def __init__(self, server):
        self.server = server
        self.events = []

    async def listen(self, account, **options):
        self.nc = await nats.connect(self.server.url, **options)

        async def heard(message):
            data = message.data.decode()
            server_id = json.loads(data)["server"]["id"]
            self.events.append((message.subject.replace(server_id, "ID"), json.loads(data, object_pairs_hook=pairs)))

        for subject in (f"$SYS.ACCOUNT.{account}.>", f"$SYS.SERVER.ACCOUNT.{account}.CONNS", "$SYS.SERVER.*.CLIENT.AUTH.ERR", "$SYS.ACCOUNT.$G.*"):
            await self.nc.subscribe(subject, cb=heard)
        await self.nc.flush()
        return self

    async def taken(self, count):
        await until(lambda: len(self.events) >= count, what=f"{count} events, have {self.events}")
        events, self.events = self.events, []
        return events


def closed(exchange):
    exchange.raw.socket.close()


async def test_who_comes_and_who_goes(servers):
    key = user_key()
    pair = Pair(servers, CONFIG % key.public)
    outcomes = []
    for server in pair.both:
        listener = await Listener(server).listen("A", user="sys", password="sys")
        mine = []
        client = Exchange(server).say(login("a", "a", name="probe", lang="raw", version="1.2"), "SUB x 1\r\n", "PUB x 2\r\nhi\r\n")
        mine.append(await listener.taken(3))
        closed(client)
        mine.append(await listener.taken(3))
        signer = Exchange(server).until("\r\n")
        nonce = signer.raw.buffer.split(b'"nonce":"')[1].split(b'"')[0].decode()
        signer.say(connect_line(nkey=key.public, sig=key.sign(nonce)))
        mine.append(await listener.taken(3))
        closed(signer)
        mine.append(await listener.taken(3))
        Exchange(server).say(login("a", "wrong", name="thief")).until_closed()
        mine.append(await listener.taken(2))
        outcomes.append(mine)
        await listener.nc.close()
    for real, ours in zip(*outcomes):
        assert ours == real, f"ours: {ours}\nreal: {real}"
    assert [subject for subject, _ in outcomes[1][0]][2] == "$SYS.ACCOUNT.A.CONNECT"


async def test_events_of_operator_mode_name_the_signer(servers, tmp_path):
    operator, account, key, admin = Operator(), account_key(), user_key(), user_key()
    operator.add(account)
    credentials = tmp_path / "admin.creds"
    credentials.write_text(creds(user_token(admin, operator.system), admin))
    jwt = user_token(key, account)
    pair = Pair(servers, operator.config())
    outcomes = []
    for server in pair.both:
        listener = await Listener(server).listen(account.public, user_credentials=str(credentials))
        client = Exchange(server).until("\r\n")
        nonce = client.raw.buffer.split(b'"nonce":"')[1].split(b'"')[0].decode()
        client.say(connect_line(jwt=jwt, sig=key.sign(nonce)))
        mine = await listener.taken(3)
        closed(client)
        outcomes.append(mine + await listener.taken(3))
        await listener.nc.close()
    assert outcomes[1] == outcomes[0]
