"""The pictures show the counts that they are given."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jobs import pictures


def written(figure: Figure) -> set[str]:
    """Everything that stands in a picture but the ticks."""
    return {text.get_text() for axes in figure.axes for text in [*axes.texts, axes.title]}


def heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]


def rates(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"messages": [10, 3, 13], **columns})


def test_a_rate_stands_with_its_counts_and_without_any_there_is_none() -> None:
    groups = rates(
        region=["EU", "unknown", "all"],
        open_numerator=[1_000, 0, 1_000],
        open_denominator=[4_000, 0, 4_000],
        open_rate=[0.25, None, 0.25],
    )
    figure = pictures.rates(groups, by="region", metrics=["open"])
    assert written(figure) >= {"25.0%  1,000/4,000", "no rate  0/0"}
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["EU  (10)", "unknown  (3)", "all  (13)"]


def test_a_cell_of_the_grid_stands_where_region_and_kind_meet() -> None:
    groups = rates(
        region=["EU", "NA", "NA"],
        email_kind=["news", "all others", "a rather long name"],
        open_numerator=[1, 0, 2],
        open_denominator=[4, 0, 4],
        open_rate=[0.25, None, 0.5],
    )
    (axes,) = pictures.grid(groups, metric="open").axes
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert places == {"50%\n2/4": (0.48, 1.47), "25%\n1/4": (1.48, 0.47), "no rate": (2.48, 1.47)}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a rather long\nname", "news", "all others"]


def test_the_flows_of_a_provider_not_known_here_are_shown_too() -> None:
    steps = [(0, "newcomer", "delivered", 3), (0, "ses", "bounced", 1), (1, "delivered", "not opened", 3)]
    flows = pd.DataFrame(steps, columns=["step", "source", "target", "journeys"])
    shown = {"newcomer  3 (75.0%)", "SES  1 (25.0%)", "delivered  3 (75.0%)", "bounced  1 (25.0%)"}
    assert written(pictures.sankey(flows)) >= {*shown, "not opened  3 (75.0%)"}


def test_the_funnel_says_how_many_are_left_of_the_sent_and_of_the_step_before() -> None:
    steps = pd.DataFrame([("ses", 8, 4, 2, 0)], columns=["provider", "sent", "delivered", "opened", "clicked"])
    shown = {"8", "4   50.0% of sent", "2   25.0% of sent, 50.0% of delivered", "0   0.0% of sent, 0.0% of opened"}
    assert written(pictures.funnel(steps)) >= shown


def test_days_without_events_have_their_place() -> None:
    events = [(pd.Timestamp("2025-10-20").date(), "ses", 5), (pd.Timestamp("2025-10-22").date(), "ses", 7)]
    (axes,) = pictures.per_day(pd.DataFrame(events, columns=["event_date", "provider", "events"])).axes
    assert heights(axes) == [5, 0, 7]


def test_waits_are_titled_in_units_that_fit() -> None:
    spans = pd.DataFrame([("open", 0, 1), ("open", 9, 3)], columns=["wait", "span", "journeys"])
    typical = pd.DataFrame(
        [("open", 4, 45.0, 7_200.0), ("click", 1, 90.0, 259_200.0)],
        columns=["wait", "journeys", "median_seconds", "p95_seconds"],
    )
    shown = {
        "open: half within 45 s, 95% within 2.0 h (4 journeys)",
        "click: half within 1.5 min, 95% within 3.0 days (1 journeys)",
    }
    figure = pictures.waits(spans, typical)
    assert {axes.get_title(loc="left") for axes in figure.axes} == shown
    assert heights(figure.axes[0]) == [0.25, *[0] * 8, 0.75]
