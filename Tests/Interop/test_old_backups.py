"""Backups that nats-servers before 2.15 made are restored whole: recorded ones, and fresh ones where HUB_BINARIES names such servers."""

import base64
import json
import os
import pathlib

import pytest

from backups import VECTORS, ask, backup, contents, digest, fill_old, restore

# More servers to try, as in test_sourcing: nats-server binaries, separated by colons.
OLD = [binary for binary in os.environ.get("HUB_BINARIES", "").split(":") if binary]


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
async def test_a_recorded_backup_is_restored_whole(petiole, client, path):
    server = petiole(jetstream=True)
    nc = await client(server)
    recorded = {entry["config"]["name"]: entry for entry in json.loads(path.read_text())}
    for entry in recorded.values():
        data = base64.b64decode(entry["data"])
        for broken in (data[:-300], data[:400] + b"\0" * 20 + data[420:]):
            answer = await restore(nc, entry["config"], entry["state"], broken)
            assert answer["error"]["err_code"] == 10062, answer
        answer = await restore(nc, entry["config"], entry["state"], data, size=1000)
        assert "error" not in answer, answer
    for restarted in (False, True):
        if restarted:
            server.kill()
            server.start()
            nc = await client(server)
        for name, entry in recorded.items():
            state, messages, consumers = await contents(nc, name)
            assert state == entry["contents"]["state"], name
            assert {str(sequence): digest(message) for sequence, message in messages.items()} == entry["contents"]["messages"]
            wanted = entry["contents"]["consumers"]
            assert set(consumers) == set(wanted)
            for consumer, places in consumers.items():
                assert {**places, "config": {}} == {**wanted[consumer], "config": {}}, consumer
                # A newer server shows more fields.
                for key, value in wanted[consumer]["config"].items():
                    assert places["config"].get(key) == value, (consumer, key)
    answer = await nc.jetstream().publish("q.1", b"next")
    assert answer.seq == recorded["PACKED"]["contents"]["state"]["last_seq"] + 1


@pytest.mark.skipif(not OLD, reason="HUB_BINARIES names no servers")
@pytest.mark.parametrize("binary", OLD, ids=lambda path: "-".join(pathlib.Path(path).parts[-3:]))
async def test_a_fresh_backup_is_restored_whole(servers, petiole, client, binary):
    old = await client(servers(binary, "old", jetstream=True).start())
    ours = await client(petiole(jetstream=True))
    version = old.connected_server_version
    await fill_old(old, (version.major, version.minor))
    for name in ("PLAIN", "PACKED", "EMPTY"):
        config, state, data, _ = await backup(old, name)
        answer = await restore(ours, config, state, data)
        assert "error" not in answer, answer
        before, after = await contents(old, name), await contents(ours, name)
        assert after[:2] == before[:2]
    # The other way there is no way: such a server reads only its own format, and says so.
    config, state, data, _ = await backup(ours, "PLAIN")
    await ask(old, "$JS.API.STREAM.DELETE.PLAIN")
    answer = await restore(old, config, state, data)
    assert "error" in answer, answer
    assert (await ask(old, "$JS.API.STREAM.INFO.PLAIN"))["error"]["err_code"] == 10059
