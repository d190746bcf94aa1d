"""The comparison at the end: what the devices had acknowledged against what the hub's stream holds."""

import collections
import json

PROBLEMS_SHOWN = 5


class Verdict:
    """Feed it the hub's stream in order with `stored`, then ask for `problems`."""

    def __init__(self, acknowledged, subject_prefix):
        # Per device, what the hub must hold, in the order of the device's own counting.
        self.wanted = collections.defaultdict(dict)
        for reading in acknowledged:
            self.wanted[reading.device][reading.seq] = reading
        self.wanted_count = sum(len(readings) for readings in self.wanted.values())
        self.subject_prefix = subject_prefix
        self.seen = collections.defaultdict(set)
        self.last = collections.defaultdict(int)
        self.stored_count = 0
        self.payload_bytes = 0
        self.counts = collections.Counter()
        self.examples = collections.defaultdict(list)

    def _problem(self, kind, text):
        self.counts[kind] += 1
        if len(self.examples[kind]) < PROBLEMS_SHOWN:
            self.examples[kind].append(text)

    def stored(self, subject, body):
        """The next message of the hub's stream."""
        self.stored_count += 1
        self.payload_bytes += len(body)
        try:
            fields = json.loads(body)
            device, seq = fields["device"], fields["seq"]
        except (ValueError, KeyError, TypeError):
            self._problem("unreadable", f"message {self.stored_count} on {subject} is no reading: {body[:60]!r}")
            return
        what = f"{device} reading {seq}"
        reading = self.wanted.get(device, {}).get(seq)
        if seq in self.seen[device]:
            self._problem("twice", f"{what} is there twice, again as message {self.stored_count}")
        elif seq < self.last[device]:
            self._problem("out of order", f"{what} stands behind reading {self.last[device]}")
        if reading is None:
            self._problem("never acknowledged", f"{what} was not acknowledged to the device")
        elif body != reading.body:
            self._problem("changed", f"{what} differs from what the device sent")
        elif subject != self.subject_prefix + reading.subject:
            self._problem("changed", f"{what} is on {subject}, not on {self.subject_prefix}{reading.subject}")
        self.seen[device].add(seq)
        self.last[device] = max(self.last[device], seq)

    def problems(self):
        """What is wrong, most serious first, a few examples of each; empty when everything is right."""
        self.counts["lost"] = 0
        self.examples["lost"] = []
        for device, readings in sorted(self.wanted.items()):
            for seq in sorted(readings.keys() - self.seen[device]):
                self._problem("lost", f"{device} reading {seq} was acknowledged and is not there")
        lines = []
        for kind in ("lost", "twice", "out of order", "changed", "unreadable", "never acknowledged"):
            if self.counts[kind]:
                lines.append(f"{self.counts[kind]} {kind}:")
                lines += [f"  {example}" for example in self.examples[kind]]
        return lines
