"""What a person sees while the demo runs: a table drawn in place on a terminal, a line every two seconds elsewhere."""

import os
import shutil
import sys
import time

PLAIN_SECONDS = 2
BAR_WIDTH = 30


def number(value):
    return f"{value:,}"


def size(count):
    """Bytes for a person."""
    if count >= 1_000_000:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1000:.0f} kB" if count >= 1000 else f"{count} B"


class Table:
    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.is_live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.has_colour = self.is_live and not os.environ.get("NO_COLOR")
        self.began = time.monotonic()
        self.drawn = 0
        self.last_plain = -PLAIN_SECONDS
        self.backlog_max = 1

    def _paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.has_colour else text

    def _clock(self):
        return f"{time.monotonic() - self.began:4.0f} s"

    # MARK: text that stays

    def say(self, text=""):
        """A line that stays, above the table."""
        self.erase()
        print(text, file=self.stream, flush=True)

    def phase(self, text):
        """What happens now."""
        self.say(self._paint("1", f"{self._clock()}  == {text}"))

    def event(self, text):
        """What the agent or the demo has just done."""
        self.say(f"{self._clock()}     {text}")

    # MARK: the table

    def erase(self):
        if self.drawn:
            self.stream.write(f"\x1b[{self.drawn}F\x1b[J")
            self.drawn = 0

    def show(self, status):
        """Draws `status`, a Status."""
        self.backlog_max = max(self.backlog_max, status.backlog or 0)
        if self.is_live:
            width = max(40, shutil.get_terminal_size().columns) - 1
            lines = self._lines(status)
            self.erase()
            for plain, code in lines:
                text = plain[:width]
                self.stream.write((self._paint(code, text) if code else text) + "\n")
            self.stream.flush()
            self.drawn = len(lines)
        elif time.monotonic() - self.last_plain >= PLAIN_SECONDS:
            self.last_plain = time.monotonic()
            print(self._plain(status), file=self.stream, flush=True)

    @staticmethod
    def _rtt(cluster):
        known = cluster.get("rtt_us") and cluster["state"] in ("linked", "healthy")
        return f"{cluster['rtt_us'] / 1000:.1f} ms" if known else "-"

    def _lines(self, status):
        """(text, colour) of each line."""
        lines = [("", ""), (f"  {'cluster':<12} {'RTT':>9}   state", "2")]
        for cluster in status.clusters:
            mark = ">" if cluster["state"] == "linked" else " "
            code = "32" if cluster["state"] == "linked" else "" if cluster["state"] == "healthy" else "31"
            lines.append((f"{mark} {cluster['name']:<12} {self._rtt(cluster):>9}   {cluster['state']}", code))
        backlog = status.backlog or 0
        bar = "#" * min(BAR_WIDTH, -(-backlog * BAR_WIDTH // max(self.backlog_max, BAR_WIDTH)))
        lines += [
            ("", ""),
            (f"  acknowledged {number(status.acknowledged):>9}   to the devices, by the agent", ""),
            (f"  backlog      {number(backlog):>9}   {bar}", "33" if backlog > 100 else ""),
            (f"  delivered    {number(status.delivered or 0):>9}   the hub's stream holds {number(status.at_hub)}", ""),
            (f"  agent        {status.agent}", ""),
            (f"  last decision: {status.decision}", "2"),
        ]
        return lines

    def _plain(self, status):
        linked = next((one for one in status.clusters if one["state"] == "linked"), None)
        where = f"{linked['name']} {self._rtt(linked)}" if linked else status.state
        return (
            f"{self._clock()}  {where:<21} | acknowledged {number(status.acknowledged):>7} | backlog {number(status.backlog or 0):>6}"
            f" | delivered {number(status.delivered or 0):>7} | at the hub {number(status.at_hub):>7}"
        )
