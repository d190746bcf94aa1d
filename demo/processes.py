"""Child processes of the demo: started with their output in a file, watched, and ended by their own process id."""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Trouble(Exception):
    """Something a person has to know; ends the demo with this sentence."""


class Process:
    """One child process with a directory of its own."""

    def __init__(self, name, command, directory):
        self.name = name
        self.command = [str(part) for part in command]
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / "log"
        self.child = None
        self.cpu_seconds_of_the_dead = 0.0

    def spawn(self):
        with open(self.log_path, "ab") as log:
            # A group of its own: Ctrl-C goes to the demo, which then ends its children in order.
            self.child = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory, start_new_session=True
            )

    @property
    def pid(self):
        return self.child.pid

    @property
    def is_running(self):
        return self.child is not None and self.child.poll() is None

    def insist_on_running(self):
        if not self.is_running:
            status = self.child.returncode if self.child else "never started"
            raise Trouble(f"{self.name} ended unexpectedly (status {status})")

    async def kill(self):
        """As when the power goes away: SIGKILL, no time for anything."""
        await self._end(signal.SIGKILL, 10)

    async def stop(self):
        """A clean end; a process that does not listen is killed."""
        await self._end(signal.SIGTERM, 5)

    async def _end(self, number, seconds):
        if not self.is_running:
            return
        self.cpu_seconds_of_the_dead += self.cpu_seconds_now()
        self.child.send_signal(number)
        for _ in range(int(seconds / 0.02)):
            if self.child.poll() is not None:
                return
            await asyncio.sleep(0.02)
        self.child.kill()
        self.child.wait(5)

    def kill_at_once(self):
        """The last resort of the clean-up, outside the event loop."""
        if self.is_running:
            self.child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(5)

    def rss_kb(self):
        """Resident memory now, in kB; 0 when the process is gone."""
        with contextlib.suppress(OSError, ValueError):
            for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def cpu_seconds_now(self):
        with contextlib.suppress(OSError, IndexError):
            fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
        return 0.0

    def cpu_seconds(self):
        """User and system time of this life and those before it."""
        return self.cpu_seconds_of_the_dead + (self.cpu_seconds_now() if self.is_running else 0.0)

    def last_log_lines(self, count):
        if not self.log_path.exists():
            return []
        return self.log_path.read_text(errors="replace").splitlines()[-count:]
