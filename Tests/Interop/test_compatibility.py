"""The version matrix: every release of nats-server in .servers, as the hub of an agent and as its spoke.

Each cell is a real link. What was seen stands in docs/compatibility.md, which the last test compares (PETIOLE_WRITE_DOCS=1 writes it).
`make compatibility` fetches the releases and runs all this."""

import asyncio
import os
import subprocess

import nats
import pytest

from keys import Operator, account_key, creds, user_key, user_token
from servers import PETIOLE, REPOSITORY, RUNNER
from test_authentication import HASH
from test_sourcing import api, make, messages, publish, until_held
from waiting import leafs, until, until_linked

PAGE = REPOSITORY / "docs/compatibility.md"
PARTNERS = [line for line in (REPOSITORY / "packaging/servers.txt").read_text().splitlines() if line and not line.startswith("#")]
ROLES = ["hub", "spoke"]
MODES = ["off", "s2_fast", "s2_better", "s2_best", "s2_auto"]
# row -> {(partner, role): cell}
seen = {}

pytestmark = [
    pytest.mark.ours,
    pytest.mark.skipif(bool(RUNNER) or not (REPOSITORY / ".servers").is_dir(), reason="packaging/setup-servers.sh has not been run"),
]


def binary(partner):
    return REPOSITORY / ".servers" / partner / "nats-server"


def version(partner):
    text = subprocess.run([binary(partner), "--version"], capture_output=True, text=True, check=True).stdout
    return text.rsplit("v", 1)[1].strip()


def compresses(partner):
    """nats-server has compression since 2.10."""
    return tuple(int(part) for part in version(partner).split(".")[:2]) >= (2, 10)


@pytest.fixture(params=ROLES)
def role(request):
    return request.param


@pytest.fixture(params=PARTNERS)
def partner(request):
    return request.param


@pytest.fixture
def linked(partner, role, servers, client):
    """linked(ours=…, theirs=…) starts the agent and its partner and waits for their link; gives both servers and a client of each."""

    async def start(mode="off", jetstream=False):
        ours = servers(PETIOLE, "ours", leaf=role == "spoke", jetstream=jetstream and "domain: ours")
        theirs = servers(str(binary(partner)), "theirs", leaf=role == "hub", jetstream=jetstream and "domain: theirs")
        hub, spoke = (theirs, ours) if role == "hub" else (ours, theirs)
        # 2.9 does not know the word, and takes whole seconds only.
        setting = {ours: f"compression: {mode}", theirs: f"compression: {mode}" if compresses(partner) else ""}
        hub.leaf = setting[hub]
        reconnect = '"100ms"' if spoke is ours or compresses(partner) else 1
        spoke.config = f'leafnodes {{ reconnect: {reconnect}, remotes: [ {{ url: "{hub.leaf_url}", {setting[spoke]} }} ] }}'
        hub.start()
        spoke.start()
        await until_linked(hub)
        return ours, theirs, await client(ours), await client(theirs)

    return start


@pytest.fixture
def cell(partner, role):
    """cell(row) or cell(row, text): the row of the table works."""

    def works(row, text="yes"):
        seen.setdefault(row, {})[(partner, role)] = text

    return works


async def reaches(publisher, subscription, subject):
    """Publishes until the subscription at the other end gets it: its interest travels in its own time."""

    async def arrives():
        await publisher.publish(subject, b"probe")
        await publisher.flush()
        try:
            return await subscription.next_msg(0.1)
        except nats.errors.TimeoutError:
            return None

    await until(arrives)
    while True:
        try:
            await subscription.next_msg(0.05)
        except nats.errors.TimeoutError:
            return


@pytest.mark.parametrize("mode", MODES)
async def test_core(linked, cell, partner, mode):
    ours, theirs, at_ours, at_theirs = await linked(mode)
    for here, there in ((at_ours, at_theirs), (at_theirs, at_ours)):
        name = "a" if here is at_ours else "b"
        plain = await there.subscribe(f"{name}.>")
        workers = [await nc.subscribe(f"jobs.{name}", queue="workers") for nc in (there, there)]

        async def answer(message):
            await message.respond(b"re:" + message.data)

        await there.subscribe(f"ask.{name}", cb=answer)
        await there.flush()
        await reaches(here, plain, f"{name}.probe")
        # Headers, and payloads that compress and that do not.
        payloads = [b"", b"a" * 100_000, os.urandom(100_000), b'{"t":21.5,"id":"sensor-1"}' * 50]
        for payload in payloads:
            await here.publish(f"{name}.x", payload, headers={"Key": "value"})
        for payload in payloads:
            message = await plain.next_msg(5)
            assert (message.data, message.headers) == (payload, {"Key": "value"})
        answers = await asyncio.gather(*(here.request(f"ask.{name}", b"%d" % n, timeout=5) for n in range(50)))
        assert [message.data for message in answers] == [b"re:%d" % n for n in range(50)]
        for number in range(50):
            await here.publish(f"jobs.{name}", b"%d" % number)
        await here.request(f"ask.{name}", b"behind them", timeout=5)
        assert sum(worker.pending_msgs for worker in workers) == 50
    if compresses(partner):
        cell(f"core messaging, compression `{mode}`")
    else:
        cell(f"core messaging, compression `{mode}`", "yes" if mode == "off" else "yes, uncompressed")


async def test_restarts(linked, cell, client):
    """Either end goes and comes back, and the interest of both is there again."""
    ours, theirs, *_ = await linked("s2_auto")
    for server, other in ((ours, theirs), (theirs, ours)):
        stays = await client(other)
        subscription = await stays.subscribe(f"to.{other.name}")
        await stays.flush()
        server.kill()
        server.start()
        comes_back = await client(server)
        await reaches(comes_back, subscription, f"to.{other.name}")
        back = await comes_back.subscribe(f"to.{server.name}")
        await comes_back.flush()
        await reaches(stays, back, f"to.{server.name}")
    cell("interest is restored after a restart of either end")


async def test_jetstream(linked, cell):
    ours, theirs, at_ours, at_theirs = await linked("s2_auto", jetstream=True)
    for nc, name, other in ((at_ours, "OURS", "theirs"), (at_theirs, "THEIRS", "ours")):
        await make(nc, {"name": name, "subjects": [f"{name.lower()}.>"]})
        await publish(nc, f"{name.lower()}.1", 0, 30)

    # Requests into the other's domain, and a consumer there.
    async def there(nc, path, body=None, domain=""):
        try:
            return await api(nc, path, body, prefix=f"$JS.{domain}.API")
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
            return None

    for nc, name, domain in ((at_ours, "THEIRS", "theirs"), (at_theirs, "OURS", "ours")):
        answer = await until(lambda: there(nc, f"STREAM.INFO.{name}", domain=domain))
        assert answer["state"]["messages"] == 30
        js = nc.jetstream(domain=domain)
        consumer = await js.pull_subscribe("", durable="PULLER", stream=name)
        batch = await consumer.fetch(30, timeout=5)
        assert [message.data for message in batch] == [b"%d" % n for n in range(30)]
        for message in batch:
            await message.ack_sync(timeout=5)
        acked = await there(nc, f"CONSUMER.INFO.{name}.PULLER", domain=domain)
        assert acked["num_ack_pending"] == 0 and acked["ack_floor"]["stream_seq"] == 30
    cell("JetStream of the other end through its domain: API, pull consumer, acknowledgement")

    origins = ((at_ours, "THEIRS", "theirs"), (at_theirs, "OURS", "ours"))
    for nc, name, domain in origins:
        external = {"api": f"$JS.{domain}.API"}
        await make(nc, {"name": f"S_{name}", "sources": [{"name": name, "external": external}]})
        await make(nc, {"name": f"M_{name}", "mirror": {"name": name, "external": external}})
    await asyncio.gather(publish(at_ours, "ours.2", 30, 30), publish(at_theirs, "theirs.2", 30, 30))
    for nc, name, _ in origins:
        await until_held(nc, f"S_{name}", 60)
        await until_held(nc, f"M_{name}", 60)
        assert [entry[2] for entry in await messages(nc, f"S_{name}")] == [str(n) for n in range(60)]
    assert [entry[:3] for entry in await messages(at_ours, "M_THEIRS")] == [entry[:3] for entry in await messages(at_theirs, "THEIRS")]
    assert [entry[:3] for entry in await messages(at_theirs, "M_OURS")] == [entry[:3] for entry in await messages(at_ours, "OURS")]
    cell("a stream there has sources here, and the other way round")
    cell("a stream there is a mirror of one here, and the other way round")


async def test_proofs(partner, role, servers, client, cell, certificates, tmp_path):
    """The spoke proves who it is in each way, and gets into its user's account."""
    key, operator, account = user_key(), Operator(), account_key()
    operator.add(account)
    file = tmp_path / "edge.creds"
    file.write_text(creds(user_token(key, account), key))
    users = f'accounts {{ A {{ users: [ {{user: u, password: "{HASH}"}}, {{nkey: {key.public}}}, {{user: gateway.example}} ] }} }}'
    tls = certificates.files("server", "ca") + " verify_and_map: true"
    user, by_token, by_file = {"user": "u", "password": "secret"}, {"token": "tok"}, {"user_credentials": str(file)}
    ways = {
        "a user with a password, of which the hub has the bcrypt hash": (users, "", "u:secret@", "", user, "A"),
        "a token": ("authorization { token: tok }", "", "tok@", "", by_token, "$G"),
        "an nkey": (users, "", "", f'nkey: "{key.seed}"', user, "A"),
        "a credentials file, of a user in operator mode": (operator.config(), "", "", f'credentials: "{file}"', by_file, account.public),
        "TLS with a client certificate, which says who the user is": (users, f"tls {{ {tls} }}", "", f'tls {{ {certificates.files("client", "ca")} }}', user, "A"),
    }
    binaries = {"hub": str(binary(partner)) if role == "hub" else PETIOLE, "spoke": PETIOLE if role == "hub" else str(binary(partner))}
    for number, (row, (config, leaf, who, proof, login, name)) in enumerate(ways.items()):
        # 2.9 knows no keys of leafs, and does not send a token as one: a real hub refuses it too.
        if not compresses(partner) and (proof.startswith("nkey") or (who == "tok@" and role == "spoke")):
            cell(row, "no: not in 2.9")
            continue
        hub = servers(binaries["hub"], f"hub-{number}", config=config, leaf=leaf or True).start()
        scheme = "tls" if leaf else "nats-leaf"
        remote = f'{{ url: "{scheme}://{who}127.0.0.1:{hub.leaf_port}", {proof} }}'
        spoke = servers(binaries["spoke"], f"spoke-{number}", config=f"leafnodes {{ remotes: [ {remote} ] }}").start()
        await until_linked(hub)
        assert [leaf["account"] for leaf in leafs(hub)] == [name]
        above, below = await client(hub, **login), await client(spoke)
        for sender, receiver, subject in ((above, below, "down"), (below, above, "up")):
            subscription = await receiver.subscribe(subject)
            await receiver.flush()
            await reaches(sender, subscription, subject)
        cell(row)
        spoke.kill()
        hub.kill()


def test_the_page_says_what_was_seen(request):
    if request.session.testsfailed or len(seen.get("core messaging, compression `off`", {})) < len(PARTNERS) * len(ROLES):
        pytest.skip("only a whole matrix without failures makes the page")
    if os.environ.get("PETIOLE_WRITE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "docs/compatibility.md is not what was seen: make compatibility writes it"


def page():
    text = [
        "# Releases of nats-server that petiole links with",
        "",
        "Made by `make compatibility` from tests that ran: each cell is a link to a real server of that release, with petiole's shipping binary at the",
        "other end. \"yes\" means that everything the row names was seen to work in both directions.",
        "",
        "Core messaging is messages with headers, empty, compressible and not, requests with answers, and a queue group that gets each message once.",
        f"{version(PARTNERS[0])} is Debian's package; it has no compression. Both ends are configured with the row's mode, and each compresses by it.",
    ]
    for role, title in (("hub", "`nats-server` is the hub, petiole dials it"), ("spoke", "`nats-server` dials petiole")):
        text += ["", f"## {title}", "", "| | " + " | ".join(version(partner) for partner in PARTNERS) + " |", "|---" * (len(PARTNERS) + 1) + "|"]
        for row, cells in seen.items():
            text.append(f"| {row} | " + " | ".join(cells.get((partner, role), "-") for partner in PARTNERS) + " |")
    return "\n".join(text) + "\n"
