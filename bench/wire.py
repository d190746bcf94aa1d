"""What has passed a leaf link: the kernel's counts of the hub's end, both ways."""

import re
import subprocess

# Of TCP and IP, on each segment.
SEGMENT_HEADERS = 52


class Wire:
    """The counts now; for the one link that a hub has."""

    def __init__(self, port):
        text = subprocess.run(["ss", "-tinH", "state", "established", "src", f"127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
        self.payload = self.value(text, "bytes_received") + self.value(text, "bytes_sent")
        self.whole = self.payload + SEGMENT_HEADERS * (self.value(text, "segs_in") + self.value(text, "segs_out"))

    @staticmethod
    def value(text, name):
        found = re.findall(rf"\b{name}:(\d+)", text)
        assert len(found) <= 1, "one link"
        return int(found[0]) if found else 0
