#!/usr/bin/env python3
"""Turns CHANGELOG.md (standard input) into a Debian changelog, so that versions and dates stand in one place only."""

import datetime
import re
import sys
import textwrap

MAINTAINER = "Petiole maintainers <maintainers@petiole.example>"


def entries(text):
    """Yields (version, date, [change, ...]) from newest to oldest."""
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        head, _, body = section.partition("\n")
        match = re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})", head.strip())
        if not match:
            sys.exit(f"CHANGELOG.md: a section is headed {head.strip()!r}; expected: ## 1.2.3 - 2026-01-31")
        yield match[1], datetime.date.fromisoformat(match[2]), re.findall(r"^- (.*(?:\n  .*)*)", body, flags=re.M)


for version, date, changes in entries(sys.stdin.read()):
    stamp = datetime.datetime(date.year, date.month, date.day, tzinfo=datetime.timezone.utc)
    print(f"petiole ({version}) unstable; urgency=medium\n")
    for change in changes:
        plain = re.sub(r"[`*]", "", " ".join(change.split()))
        print(textwrap.fill(plain, 76, initial_indent="  * ", subsequent_indent="    "))
    print(f"\n -- {MAINTAINER}  {stamp:%a, %d %b %Y %H:%M:%S +0000}\n")
