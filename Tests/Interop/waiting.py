"""Waiting for a state that another process reaches in its own time: by condition, with a deadline, never by guessing a duration."""

import asyncio
import time


async def until(condition, seconds=15, what="condition", every=0.02):
    """The first true value of condition(), which may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(every)


def leafs(server):
    """The leaf connections that a server reports."""
    return server.json("/leafz?subs=1").get("leafs") or []


async def until_linked(hub, count=1, seconds=20):
    await until(lambda: len(leafs(hub)) == count, seconds, f"{hub.name} has {count} leaf connections")


async def until_interest(hub, subject, present=True, seconds=15):
    """Waits until the leaf has told the hub that it wants `subject` (or no longer does)."""

    def told():
        # Entries are "subject" or "subject queue".
        return any(entry.split()[0] == subject for leaf in leafs(hub) for entry in leaf.get("subscriptions_list") or [])

    await until(lambda: told() == present, seconds, f"interest in {subject} at {hub.name}: {present}")
