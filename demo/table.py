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
    def __init__(self, backlog_scale, stream=sys.stdout):
        """`backlog_scale`: the backlog that fills its bar."""
        self.stream = stream
        self.is_live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.has_colour = self.is_live and not os.environ.get("NO_COLOR")
        self.began = time.monotonic()
        self.drawn = []
        self.last_plain = -PLAIN_SECONDS
        self.backlog_scale = backlog_scale
        self.backlog_max = 0

    def _paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.has_colour else text

    def clock(self):
        return f"{time.monotonic() - self.began:4.0f} s"

    # MARK: text that stays

    def say(self, text=""):
        """A line that stays, above the table."""
        self._write([text], self.drawn)

    def phase(self, text):
        """What happens now."""
        self.say(self._paint("1", f"{self.clock()}  == {text}"))

    def event(self, text):
        """What the agent or the demo has just done."""
        self.say(f"{self.clock()}     {text}")

    # MARK: the table

    def _write(self, staying, table):
        """Puts `staying` where the table stands and the table below it, in one piece so that nothing flickers."""
        back = f"\x1b[{len(self.drawn)}F\x1b[J" if self.drawn else ""
        self.stream.write(back + "".join(line + "\n" for line in [*staying, *table]))
        self.stream.flush()
        self.drawn = table

    def leave(self):
        """What is drawn stays; the next table comes below."""
        self.drawn = []

    def show(self, status):
        """Draws `status`, a Status."""
        self.backlog_max = max(self.backlog_max, status.backlog)
        if self.is_live:
            width = max(40, shutil.get_terminal_size().columns) - 1
            self._write([], [self._paint(code, text[:width]) for text, code in self._lines(status)])
        elif time.monotonic() - self.last_plain >= PLAIN_SECONDS:
            self.last_plain = time.monotonic()
            self._write([self._plain(status)], [])

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
        bar = "#" * min(BAR_WIDTH, round(status.backlog * BAR_WIDTH / self.backlog_scale))
        lines += [
            ("", ""),
            (f"  acknowledged {number(status.acknowledged):>9}   to the devices, by the agent", ""),
            (f"  backlog      {number(status.backlog):>9}   {bar}", "33" if bar else ""),
            (f"  delivered    {number(status.delivered):>9}   the hub's stream holds {number(status.at_hub)}", ""),
            (f"  agent        {status.agent}", ""),
            (f"  last decision: {status.decision}", "2"),
        ]
        return lines

    def _plain(self, status):
        linked = next((one for one in status.clusters if one["state"] == "linked"), None)
        where = f"{linked['name']} {self._rtt(linked)}" if linked else status.state
        return (
            f"{self.clock()}  {where:<21} | acknowledged {number(status.acknowledged):>7} | backlog {number(status.backlog):>6}"
            f" | delivered {number(status.delivered):>7} | at the hub {number(status.at_hub):>7}"
        )
