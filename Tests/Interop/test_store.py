"""The store on a real disk: what a kill leaves, checkpoints, and `petiole store` on directories whole, damaged and in use."""

import json
import subprocess

import pytest

from servers import PETIOLE, RUNNER, until

pytestmark = pytest.mark.ours


@pytest.fixture
def agent(petiole):
    return petiole(jetstream=True)


def run(*arguments, seconds=60):
    done = subprocess.run([*RUNNER, PETIOLE, *arguments], capture_output=True, text=True, timeout=seconds)
    return done.returncode, done.stdout, done.stderr


def logs(server):
    return sorted(server.store_dir.rglob("*.log"))


async def fill(agent, client, messages=20_000, size=1024, stops=False):
    """A stream of several segments; every published message is acknowledged."""
    nc = await client(agent)
    js = nc.jetstream(timeout=30)
    await js.add_stream(name="S", subjects=["s.*"])
    for start in range(0, messages, 500):
        batch = [await js.publish_async(f"s.{n % 50}", bytes([n % 251]) * size) for n in range(start, min(start + 500, messages))]
        for ack in batch:
            await ack
    if stops:
        await nc.close()
        agent.stop()
    return js


async def test_a_killed_agent_starts_from_its_checkpoint_with_every_message(agent, client):
    await fill(agent, client)
    directory = logs(agent)[0].parent
    until(lambda: any(directory.glob("checkpoint-*")), what="a checkpoint")
    agent.kill()
    agent.start()
    js = (await client(agent)).jetstream()
    info = await js.stream_info("S")
    assert info.state.messages == 20_000 and info.state.last_seq == 20_000
    # The subjects are known without their messages having been read.
    for n in (0, 7, 49):
        last = await js.get_last_msg("S", f"s.{n}")
        assert last.seq % 50 == (n + 1) % 50 and last.seq > 19_900


async def test_space_of_removed_messages_comes_back_from_mixed_segments(agent, client):
    js = await fill(agent, client)
    directory = logs(agent)[0].parent
    before = sum(file.stat().st_size for file in directory.iterdir())
    # Nine of ten go, so that every segment still has live messages.
    for subject in range(50):
        if subject % 10 != 0:
            await js.purge_stream("S", subject=f"s.{subject}")

    def size():
        return sum(file.stat().st_size for file in directory.iterdir())

    until(lambda: size() < before / 2, seconds=60, what=f"the store to shrink from {before} bytes")
    info = await js.stream_info("S")
    assert info.state.messages == 2_000
    message = await js.get_last_msg("S", "s.40")
    assert len(message.data) == 1024


async def test_a_store_in_use_is_left_alone(agent, client):
    await fill(agent, client, messages=10)
    for verb in ("verify", "inspect", "repair"):
        status, _, error = run("store", verb, str(logs(agent)[0].parent))
        assert status == 2 and "in use" in error


async def test_verify_and_inspect_show_a_store_and_change_nothing(agent, client):
    await fill(agent, client, messages=9_000, stops=True)
    directory = logs(agent)[0].parent
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    status, text, _ = run("store", "verify", str(directory))
    assert status == 0 and "no damage" in text and "$G/S" in text and "9000" in text
    status, text, _ = run("store", "inspect", str(directory))
    assert status == 0 and logs(agent)[0].name in text
    status, text, _ = run("store", "verify", str(directory), "--json")
    shown = json.loads(text)
    assert status == 0 and shown["clean"] is True
    assert shown["streams"][0]["messages"] == 9_000 and shown["streams"][0]["num_subjects"] == 50
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == before


async def test_repair_copies_what_can_be_read_and_keeps_the_damaged_file(agent, client):
    await fill(agent, client, messages=9_000, stops=True)
    first = logs(agent)[0]
    damaged = bytearray(first.read_bytes())
    damaged[2_000_000] ^= 0x10
    first.write_bytes(damaged)
    status, text, _ = run("store", "verify", str(first.parent), "--json")
    shown = json.loads(text)
    assert status == 1 and shown["damaged"][0]["file"] == first.name and not shown["clean"]
    assert shown["lost"][0]["first_seq"] == shown["lost"][0]["last_seq"]
    status, text, error = run("store", "repair", str(first.parent))
    assert status == 0, text + error
    assert not first.exists() and (first.parent / (first.name + ".damaged")).read_bytes() == damaged
    status, text, _ = run("store", "verify", str(first.parent), "--json")
    assert status == 0 and json.loads(text)["streams"][0]["messages"] == 8_999
    agent.start()
    js = (await client(agent)).jetstream()
    assert (await js.stream_info("S")).state.messages == 8_999


def test_store_says_how_it_is_used(tmp_path):
    for words in ([], ["verify"], ["nonsense", str(tmp_path)], ["verify", str(tmp_path), "more"]):
        status, _, error = run("store", *words)
        assert status == 2 and "usage: petiole store" in error
    status, _, error = run("store", "verify", str(tmp_path / "nothing"))
    assert status == 2 and "cannot be read" in error
