"""The notebook's pictures, of the small tables that `transforms/exploration.py` makes, as pandas frames."""

from collections.abc import Iterable, Sequence
from math import ceil
from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import PercentFormatter

from schemas.metrics import DEFAULT_PROFILE
from schemas.views import ALL
from transforms.exploration import OTHERS, WAIT_BOUNDS, WAITS
from transforms.lifecycle import UNKNOWN

INK, PALE, BAND = "#22313f", "#8a97a3", "#e3e8ec"
GOOD, SECOND, BAD = "#1f7a8c", "#e0a030", "#c8553d"
_SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", GOOD])
_NAMES = {"ses": "SES", "sailthru": "Sailthru"}
_OF_PROVIDER = {"ses": GOOD, "sailthru": SECOND}
_LAST = {UNKNOWN: 1, OTHERS: 2, ALL: 3}
"""Groups that stand behind the others, whatever their size."""
_UNIT = {metric.name: metric.unit.value for metric in DEFAULT_PROFILE}
_STATES = (
    *("ses", "sailthru"),
    *("delivered", "no word yet", "no send seen", "suppressed", "bounced"),
    *("opened", "opened by one of several", "not opened", "bounced later"),
    *("clicked", "not clicked"),
)
"""Of the flows, from top to bottom in their columns."""
_PLACES = {state: place for place, state in enumerate(_STATES)}
_BAD_STATES = ("bounced", "bounced later", "suppressed")
_OPEN_STATES = ("not opened", "not clicked", "no word yet", "no send seen", "opened by one of several")


def per_day(events: pd.DataFrame) -> Figure:
    """Events by day, the providers on top of each other; a day without any has no bar."""
    figure, axes = _page(9, 3)
    counts = events.pivot_table(index="event_date", columns="provider", values="events", fill_value=0)
    counts.index = pd.to_datetime(counts.index)
    counts = counts.asfreq("D", fill_value=0)
    below = pd.Series(0.0, index=counts.index)
    for provider in counts.columns:
        axes.bar(counts.index, counts[provider], bottom=below, width=0.8, color=_color(provider), label=_name(provider))
        below = below + counts[provider]
    step = ceil(len(counts) / 12)
    axes.set_xticks(counts.index[::step], [f"{day:%a %d %b}" for day in counts.index[::step]])
    axes.set_xlabel("day of the event (UTC)")
    axes.set_ylabel("events")
    axes.legend(frameon=False, ncols=2, loc="upper right")
    axes.grid(axis="y", color=BAND)
    return _done(figure, "Events per day")


def rates(groups: pd.DataFrame, by: str, metrics: Sequence[str]) -> Figure:
    """A panel per metric, a bar per group, and at each the rate with its two counts."""
    order = pd.DataFrame({"last": groups[by].map(_LAST).fillna(0), "messages": -groups["messages"], "name": groups[by]})
    ordered = groups.loc[order.sort_values(["last", "messages", "name"]).index]
    figure, panels = plt.subplots(
        1, len(metrics), figsize=(2.9 * len(metrics) + 1.5, 0.42 * len(ordered) + 1.4), sharey=True, squeeze=False
    )
    places = range(len(ordered))
    for axes, metric in zip(panels[0], metrics, strict=True):
        values = ordered[f"{metric}_rate"].astype(float).fillna(0.0)
        top = max(values.max(), 0.01)
        colors = [INK if name == ALL else BAD if metric == "bounce" else GOOD for name in ordered[by]]
        axes.barh(places, values, color=colors, height=0.62)
        counts = zip(ordered[f"{metric}_numerator"], ordered[f"{metric}_denominator"], strict=True)
        for place, value, (numerator, denominator) in zip(places, values, counts, strict=True):
            rate = f"{value:.1%}" if denominator else "no rate"
            axes.text(value + 0.03 * top, place, f"{rate}  {numerator:,}/{denominator:,}", va="center", fontsize=8)
        axes.set_xlim(0, 1.75 * top)
        axes.set_xticks([])
        axes.set_title(f"{metric} rate", loc="left", fontsize=10, color=INK)
        axes.set_xlabel(f"unit: {_UNIT[metric]}", fontsize=8, color=PALE, loc="left")
        _bare(axes, "top", "right", "bottom")
        axes.tick_params(length=0)
    labels = [f"{name}  ({count:,})" for name, count in zip(ordered[by], ordered["messages"], strict=True)]
    panels[0][0].set_yticks(places, labels)
    panels[0][0].invert_yaxis()
    return _done(figure, f"Success by {by.replace('email_kind', 'kind of email')} (messages)")


def grid(groups: pd.DataFrame, metric: str) -> Figure:
    """Regions by kinds of email: a cell's shade is the rate, the text in it the rate and its two counts."""
    sizes = groups.groupby("email_kind")["messages"].sum()
    kinds = sorted(sizes.index, key=lambda kind: (kind == OTHERS, -sizes[kind], kind))
    regions = sorted(groups["region"].unique())
    figure, axes = _page(1.45 * len(kinds) + 1.5, 0.62 * len(regions) + 1.2)
    top = groups[f"{metric}_rate"].max()
    for row in groups.to_dict("records"):
        x, y = kinds.index(row["email_kind"]), regions.index(row["region"])
        numerator, denominator = row[f"{metric}_numerator"], row[f"{metric}_denominator"]
        share = row[f"{metric}_rate"] / top if denominator and top else 0.0
        axes.add_patch(Rectangle((x, y), 0.96, 0.94, color=_SHADES(0.6 * share)))
        text = f"{row[f'{metric}_rate']:.0%}\n{numerator:,}/{denominator:,}" if denominator else "no rate"
        axes.text(x + 0.48, y + 0.47, text, ha="center", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, len(kinds))
    axes.set_ylim(len(regions), 0)
    axes.set_xticks([x + 0.48 for x in range(len(kinds))], [fill(kind, 14) for kind in kinds], fontsize=8)
    axes.set_yticks([y + 0.47 for y in range(len(regions))], regions)
    _bare(axes, "top", "right", "bottom", "left")
    axes.tick_params(length=0)
    return _done(figure, f"{metric.capitalize()} rate by region and kind of email (unit: {_UNIT[metric]})")


def funnel(steps: pd.DataFrame) -> Figure:
    """A panel per provider: how many messages reached each step, as a share of those sent and of the step before."""
    names = [name for name in steps.columns if name != "provider"]
    figure, panels = plt.subplots(1, len(steps), figsize=(4.8 * len(steps), 2.6), sharey=True, squeeze=False)
    for axes, row in zip(panels[0], steps.to_dict("records"), strict=True):
        counts = [row[name] for name in names]
        first = max(counts[0], 1)
        axes.barh(names, [count / first for count in counts], color=_color(row["provider"]), height=0.7)
        for place, count in enumerate(counts):
            text = f"{count:,}"
            if place:
                text += f"   {count / first:.1%} of sent"
            if place > 1 and counts[place - 1]:
                text += f", {count / counts[place - 1]:.1%} of {names[place - 1]}"
            is_inside = count / first > 0.6
            x, side = (count / first - 0.015, "right") if is_inside else (count / first + 0.015, "left")
            axes.text(x, place, text, va="center", ha=side, fontsize=8.5, color="white" if is_inside else INK)
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        axes.set_xlabel("messages", fontsize=8, color=PALE, loc="left")
        axes.set_title(_name(row["provider"]), loc="left", fontsize=10, color=INK)
        _bare(axes, "top", "right", "bottom", "left")
        axes.tick_params(length=0)
    panels[0][0].invert_yaxis()
    return _done(figure, "From the send to the click")


def sankey(flows: pd.DataFrame) -> Figure:
    """Journeys from state to state; bands and boxes are as high as they are many."""
    figure, axes = _page(11, 5.2)
    total = flows.loc[flows["step"] == 0, "journeys"].sum()
    gap = 0.05 * total
    boxes = _boxes(flows, gap)
    leaving = {key: top for key, (top, _) in boxes.items()}
    arriving = dict(leaving)
    ordered = sorted(
        flows.to_dict("records"), key=lambda flow: (flow["step"], _place(flow["source"]), _place(flow["target"]))
    )
    for flow in ordered:
        here, there = (flow["step"], flow["source"]), (flow["step"] + 1, flow["target"])
        color = BAD if flow["target"] in _BAD_STATES else PALE if flow["target"] in _OPEN_STATES else GOOD
        _band(axes, flow["step"], leaving[here], arriving[there], flow["journeys"], color)
        leaving[here] += flow["journeys"]
        arriving[there] += flow["journeys"]
    for (column, state), (top, height) in boxes.items():
        axes.add_patch(Rectangle((column - 0.02, top), 0.04, height, color=INK, lw=0))
        text = f"{_name(state)}  {height:,} ({height / total:.1%})" if total else _name(state)
        axes.text(column + 0.035, top + height / 2, text, va="center", fontsize=9, color=INK)
    axes.set_xlim(-0.03, 3.55)
    axes.set_ylim(max(top + height for top, height in boxes.values()) + gap / 2, -gap / 2)
    axes.set_axis_off()
    return _done(figure, f"What became of {total:,} journeys (one per recipient of a message)")


def waits(spans: pd.DataFrame, typical: pd.DataFrame) -> Figure:
    """How long it took from the send to the first open, and to the first click."""
    labels = [f"< {WAIT_BOUNDS[0][1]}", *(f"< {label}" for _, label in WAIT_BOUNDS[1:]), f"≥ {WAIT_BOUNDS[-1][1]}"]
    figure, panels = plt.subplots(1, len(WAITS), figsize=(11, 3.2), sharey=True)
    for axes, wait, color in zip(panels, WAITS, (GOOD, SECOND), strict=True):
        counts = spans[spans["wait"] == wait].set_index("span")["journeys"].reindex(range(len(labels)), fill_value=0)
        total = max(counts.sum(), 1)
        axes.bar(range(len(labels)), counts / total, color=color, width=0.8)
        for place, count in counts.items():
            if count:
                axes.text(place, count / total, f"{count:,}", ha="center", va="bottom", fontsize=8, color=INK)
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=8)
        axes.set_xlabel(f"time from the send to the first {wait} (each bar from the one before)", fontsize=9)
        axes.margins(y=0.14)
        axes.grid(axis="y", color=BAND)
        _bare(axes, "top", "right")
        for row in typical[typical["wait"] == wait].to_dict("records"):
            middle, most = (_duration(row[name]) for name in ("median_seconds", "p95_seconds"))
            title = f"{wait}: half within {middle}, 95% within {most} ({row['journeys']:,} journeys)"
            axes.set_title(title, loc="left", fontsize=10, color=INK)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panels[0].set_ylabel("share of journeys with one")
    return _done(figure, "Time to open and time to click")


# --- parts


def _page(width: float, height: float) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(width, height))
    _bare(axes, "top", "right")
    return figure, axes


def _bare(axes: Axes, *sides: str) -> None:
    axes.spines[list(sides)].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.set_axisbelow(True)


def _done(figure: Figure, title: str) -> Figure:
    """Finish a picture; closed, so that a notebook shows it once, as the value of its cell."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    figure.tight_layout()
    plt.close(figure)
    return figure


def _name(state: str) -> str:
    return _NAMES.get(state, state)


def _place(state: str) -> tuple[int, str]:
    """Where it stands in its column; a provider that is not known here stands first."""
    return _PLACES.get(state, -1), state


def _color(provider: str) -> str:
    return _OF_PROVIDER.get(provider, PALE)


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 1.5 * size or (seconds >= size and unit != "days"):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _boxes(flows: pd.DataFrame, gap: float) -> dict[tuple[int, str], tuple[float, int]]:
    """Top and height of each state's box, by column and state."""
    heights: dict[tuple[int, str], int] = {}
    first = flows[flows["step"] == 0].groupby("source")["journeys"].sum()
    heights.update({(0, str(state)): int(count) for state, count in first.items()})
    for (step, state), count in flows.groupby(["step", "target"])["journeys"].sum().items():
        heights[int(step) + 1, str(state)] = int(count)
    boxes = {}
    tops: dict[int, float] = {}
    for column, state in sorted(heights, key=lambda key: (key[0], _place(key[1]))):
        top = tops.get(column, 0.0)
        boxes[column, state] = (top, heights[column, state])
        tops[column] = top + heights[column, state] + gap
    return boxes


def _band(axes: Axes, column: int, start: float, end: float, height: float, color: str) -> None:
    """A band from a box to one of the next column, flat at both ends."""
    left, right, middle = column + 0.02, column + 0.98, column + 0.5
    edge: Iterable[tuple[float, float]] = (
        *((left, start), (middle, start), (middle, end), (right, end)),
        *((right, end + height), (middle, end + height), (middle, start + height), (left, start + height)),
        (left, start),
    )
    curve = [Path.CURVE4] * 3
    path = Path(list(edge), [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])
    axes.add_patch(PathPatch(path, facecolor=color, alpha=0.32, lw=0))
