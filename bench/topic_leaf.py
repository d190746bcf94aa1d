"""Edge to hub through the leaf link, plain and compressed."""

from rig import column
from rows import Row
from servers import until


def remote(hub, mode):
    return f'leafnodes {{ remotes: [ {{ url: "{hub.leaf_url}", compression: {mode} }} ] }}'


def rows(rig):
    for mode, goal in (("off", 0.27), ("s2_fast", 0.42)):

        def leaf(side, mode=mode):
            hub = rig.hub()
            edge = rig.server(side, config=remote(hub, mode))
            until(lambda: hub.json("/leafz")["leafnodes"] == 1, 20, "the leaf link")
            return rig.measured(edge, lambda: rig.load("fan", edge.port, hub.port, rig.count(1_500_000), 128))

        both = rig.compare(f"leaf, {mode}", leaf)
        what = f"CPU per message, 128 B JSON, {mode}"
        yield Row("leaf", what, "us", column(both, "cpu_us"), goal=goal, against="default", load_share=both["petiole"].load_share)
