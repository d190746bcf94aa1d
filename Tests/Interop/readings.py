"""What devices publish in the tests of store and forward, and whether the hub's stream READINGS has it: all of it, once, in order."""

import asyncio
import json

import nats.errors

from waiting import until


class Devices:
    """Publishes numbered readings with acks, and remembers what was acknowledged, per device in order."""

    def __init__(self, count=20):
        self.acknowledged = {device: [] for device in range(count)}
        self.next = 0

    async def publish(self, js, count):
        async def one(number):
            device = number % len(self.acknowledged)
            body = json.dumps({"device": device, "n": number, "value": 20.5}).encode()
            await js.publish(f"sensors.{device}.temperature", body, timeout=10)
            self.acknowledged[device].append(number)

        for start in range(0, count, 200):
            numbers = range(self.next, self.next + min(200, count - start))
            self.next = numbers.stop
            await asyncio.gather(*(one(number) for number in numbers))

    @property
    def total(self):
        return sum(len(numbers) for numbers in self.acknowledged.values())


async def held_by(client, server):
    """(count, {device: [numbers in stream order]}) of the hub's stream."""
    js = (await client(server)).jetstream()
    state = (await js.stream_info("READINGS")).state
    consumer = await js.pull_subscribe("", stream="READINGS", durable=None)
    readings = {}
    left = state.messages
    while left:
        for message in await consumer.fetch(min(left, 500), timeout=10):
            body = json.loads(message.data)
            readings.setdefault(body["device"], []).append(body["n"])
            await message.ack()
            left -= 1
    return state.messages, readings


async def until_delivered(client, server, count, seconds=60):
    js = (await client(server)).jetstream()

    async def enough():
        try:
            return (await js.stream_info("READINGS")).state.messages >= count
        except nats.errors.Error:  # a hub that is electing a leader
            return False

    await until(enough, seconds, f"{count} readings at the hub", every=0.1)


async def check(client, server, devices):
    """Every acknowledged reading once and in order; nothing twice. What was not acknowledged may be there too."""
    count, readings = await held_by(client, server)
    for device, numbers in devices.acknowledged.items():
        held = readings.get(device, [])
        assert held == sorted(set(held)), f"device {device}: out of order or twice"
        missing = set(numbers) - set(held)
        assert not missing, f"device {device} lost {sorted(missing)[:10]}"
    return count
