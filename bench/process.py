"""What is read from running processes: CPU time, memory, bytes written, system calls; and the load generator's runs."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time


def cpu_seconds(pid):
    """The process's CPU clock: Linux names it by the complement of its id (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def proc_value(pid, file, key):
    text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
    return int(re.search(rf"^{key}:\s*(\d+)", text, re.M)[1])


def resident_bytes(pid):
    return proc_value(pid, "status", "VmRSS") * 1024


def build_load(source, target):
    files = sorted(str(path) for path in source.glob("*.c"))
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(target), *files], check=True)


def run_load(binary, *arguments):
    done = subprocess.run([str(binary), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: load {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    if result["errors"]:
        raise SystemExit(f"bench: load {' '.join(map(str, arguments))}: {result['errors']} errors: {done.stderr[:300]}")
    return result


SYNCS = "fsync,fdatasync,sync_file_range"


def has_strace():
    return shutil.which("strace") is not None


def tracing(report=None, sync_delay_us=0):
    """A command to run a server with, under a tracer that stops at its syncs only (a seccomp filter): it lists them in `report`, or makes each
    that much longer. The server is a child of whoever runs the command, not the tracer."""
    command = ["strace", "-D", "-f", "-q", "--seccomp-bpf", "-e", f"trace={SYNCS}", "-e", "signal=none", "-o", str(report or "/dev/null")]
    return command + (["-e", f"inject=fsync,fdatasync:delay_exit={sync_delay_us}"] if sync_delay_us else [])


def sync_count(report):
    return len(re.findall(r"\b(?:fsync|fdatasync|sync_file_range)\(", report.read_text()))


def forget_pages(path):
    """Takes a file that no process has mapped out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
