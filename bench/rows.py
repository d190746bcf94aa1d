"""A row of the comparison, and how rows look: a table for people, JSON for machines."""

import dataclasses

SIDES = {"petiole": "petiole", "synced": "nats-server, sync always", "default": "nats-server, default"}


@dataclasses.dataclass
class Row:
    topic: str
    what: str
    unit: str
    values: dict  # by side; a side may be missing
    goal: float | None = None
    against: str | None = None  # the side that the goal is a ratio to; without one it is of the value itself
    more_is_better: bool = False
    load_share: float | None = None  # CPU time of the load generator, as a share of the time that was measured

    def ratio(self, side):
        theirs = self.values.get(side)
        return self.values["petiole"] / theirs if theirs else None

    @property
    def met(self):
        if self.goal is None:
            return None
        value = self.ratio(self.against) if self.against else self.values["petiole"]
        return value >= self.goal if self.more_is_better else value <= self.goal

    @property
    def goal_text(self):
        if self.goal is None:
            return ""
        sign = ">=" if self.more_is_better else "<="
        if not self.against:
            return f"{sign} {number(self.goal)} {self.unit}"
        return f"{sign} {self.goal:g}x {'default' if self.against == 'default' else 'synced'}"

    def as_json(self):
        ratios = {side: self.ratio(side) for side in ("synced", "default")}
        return {**dataclasses.asdict(self), "ratios": ratios, "met": self.met}


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def head():
    return (
        f"{'':50} {'petiole':>10} {'nats-server':>12} {'':>7} {'nats-server':>12} {'':>7}\n"
        f"{'':50} {'':>10} {'sync always':>12} {'ratio':>7} {'default':>12} {'ratio':>7}  {'goal':16} {'':6} load"
    )


def line(row):
    """`load` is the generator's CPU time as a share of the run."""
    cells = f"{f'{row.what} [{row.unit}]' if row.unit else row.what:50} {number(row.values['petiole']):>10}"
    for side in ("synced", "default"):
        value, ratio = row.values.get(side), row.ratio(side)
        cells += f" {number(value) if value is not None else '':>12} {f'{ratio:.2f}x' if ratio is not None else '':>7}"
    met = {None: "", True: "met", False: "MISSED"}[row.met]
    share = f"{row.load_share:.0%}" if row.load_share is not None else ""
    return f"{cells}  {row.goal_text:16} {met:6} {share:>4}".rstrip()
