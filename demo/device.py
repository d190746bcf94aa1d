"""The devices beside the gateway: readings published with JetStream acks, and a record of what was acknowledged."""

import asyncio
import collections
import contextlib
import datetime
import json
import math
import time

import nats
import nats.errors

# 50 devices with 4 sensors each: 200 subjects.
DEVICES = 50
KINDS = ("temperature", "humidity", "pressure", "voltage")
# Without an ack for so many the devices wait: they have little memory.
UNACKNOWLEDGED_MAX = 500
ACK_SECONDS_MAX = 5
TICK_SECONDS = 0.02


class Reading:
    __slots__ = ("device", "seq", "subject", "body")

    def __init__(self, number):
        self.device = f"d{number % DEVICES:03}"
        self.seq = number // DEVICES + 1
        kind = KINDS[self.seq % len(KINDS)]
        self.subject = f"sensors.{self.device}.{kind}"
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        value = round(20 + 5 * math.sin(number / 700) + number % 7 / 10, 2)
        self.body = json.dumps(
            {"device": self.device, "kind": kind, "seq": self.seq, "time": now, "value": value, "battery_v": 3.61, "ok": True}
        ).encode()

    @property
    def message_id(self):
        return f"{self.device}-{self.seq}"


class Devices:
    """Publishes until told to stop. After a lost connection everything unacknowledged goes again, in order and under the same
    message id, before anything new: so an ack that was lost makes no second copy."""

    def __init__(self, agent, per_second):
        self.agent = agent
        self.per_second = per_second
        self.connection = None
        self.unacknowledged = collections.OrderedDict()  # by publish number
        self.acknowledged = []  # in the order of the acks
        self.published = 0
        self.republished = 0
        self.duplicates_refused = 0
        self.connects = 0
        self.ack_seconds_max = 0.0
        self.problems = []
        self.is_stopping = False
        self.last_ack = time.monotonic()

    async def run(self):
        """Until `stop`, and until the last reading is acknowledged."""
        try:
            while not (self.is_stopping and not self.unacknowledged):
                if self.connection is None or not self.connection.is_connected:
                    await self._connect()
                else:
                    await self._publish_while_connected()
        finally:
            await self._close()

    def stop(self):
        self.is_stopping = True

    async def _close(self):
        connection, self.connection = self.connection, None
        if connection is not None and not connection.is_closed:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.close(), 2)

    async def _connect(self):
        await self._close()
        url = self.agent.url
        if url is None:
            await asyncio.sleep(0.05)
            return

        async def quiet(_):
            pass

        try:
            # No reconnecting below us: what the library still holds would overtake what goes again.
            connection = await nats.connect(url, allow_reconnect=False, connect_timeout=2, error_cb=quiet, name="devices")
            inbox = connection.new_inbox()
            await connection.subscribe(f"{inbox}.*", cb=self._on_ack)
            self.connects += 1
            for number, reading in list(self.unacknowledged.items()):
                await self._send(connection, inbox, number, reading)
                self.republished += 1
        except (OSError, nats.errors.Error, asyncio.TimeoutError):
            await asyncio.sleep(0.05)
            return
        self.connection = connection
        self.inbox = inbox
        self.last_ack = time.monotonic()

    @staticmethod
    async def _send(connection, inbox, number, reading):
        await connection.publish(
            reading.subject, reading.body, reply=f"{inbox}.{number}", headers={"Nats-Msg-Id": reading.message_id}
        )

    async def _publish_while_connected(self):
        connection, inbox = self.connection, self.inbox
        next_at = time.monotonic()
        try:
            while connection.is_connected and not (self.is_stopping and not self.unacknowledged):
                now = time.monotonic()
                if self.unacknowledged and now - self.last_ack > ACK_SECONDS_MAX:
                    break  # connected, but nobody there: begin again
                next_at = max(next_at, now - 0.5)  # a delay is caught up, an outage is not
                while not self.is_stopping and next_at <= now and len(self.unacknowledged) < UNACKNOWLEDGED_MAX:
                    reading = Reading(self.published)
                    self.unacknowledged[self.published] = reading
                    self.published += 1
                    next_at += 1 / self.per_second
                    await self._send(connection, inbox, self.published - 1, reading)
                if not self.unacknowledged:
                    self.last_ack = now
                await asyncio.sleep(TICK_SECONDS)
        except (OSError, nats.errors.Error):
            pass
        await self._close()

    async def _on_ack(self, message):
        number = int(message.subject.rpartition(".")[2])
        try:
            ack = json.loads(message.data)
        except ValueError:
            ack = {}
        if "seq" not in ack:
            self._note(f"reading {number} was refused: {(message.headers or {}).get('Status', '')} {message.data[:200]!r}")
            return
        reading = self.unacknowledged.pop(number, None)
        if reading is None:
            return  # the second ack of a reading that went twice
        self.last_ack = time.monotonic()
        if ack.get("duplicate"):
            self.duplicates_refused += 1
        self.acknowledged.append(reading)

    def _note(self, problem):
        if len(self.problems) < 5:
            self.problems.append(problem)
