"""Core messaging: one publisher to one subscriber, request and reply."""

from rig import column
from rows import Row


def rows(rig):
    def fan(side):
        server = rig.server(side)
        return rig.measured(server, lambda: rig.load("fan", server.port, server.port, rig.count(5_000_000), 16))

    both = rig.compare("1 to 1", fan)
    share = both["petiole"].load_share
    # A message in and a message out are two for the server.
    cpu = {side: value / 2 for side, value in column(both, "cpu_us").items()}
    yield Row("core", "CPU per message in or out, 1 to 1, 16 B", "us", cpu, goal=0.33, against="default", load_share=share)
    yield Row("core", "throughput, 1 to 1, 16 B", "msg/s", column(both, "rate"), load_share=share)

    for window, count in ((1, 50_000), (16, 200_000)):

        def request(side, window=window, count=count):
            server = rig.server(side)
            return rig.measured(server, lambda: rig.load("request", server.port, server.port, rig.count(count), 16, window))

        both = rig.compare(f"requests, {window} at a time", request)
        what = f"CPU per request-reply, {window} at a time"
        yield Row("core", what, "us", column(both, "cpu_us"), goal=0.55, against="default", load_share=both["petiole"].load_share)
