"""Messages through a leaf link in either direction, plain and compressed: what they cost the edge, and what passes on the wire."""

from rows import Row
from servers import until
from wire import Wire

MODES = ("off", "s2_fast", "s2_better", "lz4")
SIZES = {128: "128 B", 1024: "1 KB"}
# Of nats-server's CPU per message, to the hub.
GOALS = {(128, "off"): 0.27, (128, "s2_fast"): 0.42}


def remote(hub, mode):
    return f'leafnodes {{ remotes: [ {{ url: "{hub.leaf_url}", compression: {mode} }} ] }}'


def linked(rig, side, mode, hub_jetstream=False, config="", **options):
    """A hub of nats-server, and an edge that is linked with it. LZ4 needs an agent for a hub."""
    if mode == "lz4":
        hub = rig.server(side, name="hub", leaf="compression: accept", jetstream=hub_jetstream)
    else:
        hub = rig.server(rig.sides["default"], name="hub", leaf=f"compression: {mode}", jetstream=hub_jetstream)
    edge = rig.server(side, name="edge", config=f"{remote(hub, mode)}\n{config}", **options)
    until(lambda: hub.json("/leafz")["leafnodes"] == 1, 20, "the leaf link")
    return edge, hub


def rows(rig):
    for size, size_text in SIZES.items():
        if rig.quick and size != 128:
            continue
        for direction in ("edge to hub", "hub to edge"):
            for mode in MODES:
                yield from compared(rig, direction, size, size_text, mode)


def compared(rig, direction, size, size_text, mode):
    count = rig.count(1_500_000 if size == 128 else 400_000)

    def run(side):
        edge, hub = linked(rig, side, mode)
        source, target = (edge, hub) if direction == "edge to hub" else (hub, edge)
        before = Wire(hub.leaf_port)
        sample = rig.measured(edge, lambda: rig.load("fan", source.port, target.port, count, size))
        return sample.cpu_us, (Wire(hub.leaf_port).payload - before.payload) / count, sample.load_share

    sides = ("petiole",) if mode == "lz4" else ("petiole", "default")
    both = rig.compare(f"{direction}, {size_text}, {mode}", run, sides)
    what = f"{direction}, {size_text}, {mode}"
    goal = GOALS.get((size, mode)) if direction == "edge to hub" else None
    yield Row("leaf", f"{what}: CPU", "us", item(both, 0), goal=goal, against="default", load_share=both["petiole"][2])
    yield Row("leaf", "  on the wire, without TCP and IP", "B", item(both, 1))


def item(samples, index):
    return {side: sample[index] for side, sample in samples.items()}
