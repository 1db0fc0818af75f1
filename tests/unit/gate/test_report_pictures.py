"""The report's pictures: where they put the numbers, what they leave out, and that they can stand in any page."""

import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from infra import drawing
from infra.drawing import BOX, Scale
from tasks.contracts import SuiteResult
from tasks.gate import pictures, pictures_lines
from tasks.gate.pictures_lines import Decision
from tests.unit.gate.report_records import HISTORY, bill, bill_line, blocked, fields, suite

Element = ElementTree.Element


def forest(*suites: SuiteResult) -> Element:
    """The forest plot as a tree."""
    return ElementTree.fromstring(pictures.forest(suites, lambda one: one.name, lambda one: one.verdict))


def svg(text: str) -> Element:
    return ElementTree.fromstring(text)


def all_of(tree: Element, classes: str) -> list[Element]:
    return [one for one in tree.iter() if one.get("class") == classes]


def only(tree: Element, classes: str) -> Element:
    found = all_of(tree, classes)
    assert len(found) == 1, f"{len(found)} of {classes}"
    return found[0]


def at(element: Element, name: str) -> float:
    value = element.attrib[name]
    assert value.endswith("%")
    return float(value[:-1])


def score(tree: Element, x: float, one: SuiteResult) -> float:
    """The score at a position, on the scale that 0 and the suite's delta lie on."""
    zero, dot = at(only(tree, "zero"), "x1"), at(only(tree, "dot champion"), "cx")
    assert one.delta is not None
    return (x - zero) / (dot - zero) * one.delta


def points(element: Element) -> list[tuple[float, float]]:
    """The places a path goes through, per cent across and pixels down."""
    return [
        (float(x) * 100 / BOX, float(y)) for x, y in re.findall(r"[ML](-?[\d.e+]+) (-?[\d.]+)", element.attrib["d"])
    ]


def decisions(*anchor: float | None, **changes: Any) -> list[Decision]:
    return [
        Decision(f"2026-11-{i + 1:02}", False, i == len(anchor) - 1, 0.01, value, value)._replace(**changes)
        for i, value in enumerate(anchor)
    ]


# ---- the forest plot


def test_the_limits_lie_at_minus_margin_and_minus_budget_and_the_shaded_side_ends_there() -> None:
    one = suite(margin=0.03, budget=0.08)
    tree = forest(one)
    for role, limit in (("champion", 0.03), ("anchor", 0.08)):
        tick, zone = only(tree, f"limit {role}"), only(tree, f"zone {role}")
        assert at(tick, "x1") == at(tick, "x2")
        assert score(tree, at(tick, "x1"), one) == pytest.approx(-limit, abs=1e-4)
        assert float(tick.attrib["data-value"]) == -limit
        assert at(zone, "x") == 0
        assert at(zone, "width") == pytest.approx(at(tick, "x1"))


def test_a_target_must_keep_clear_of_zero_and_its_margin_is_still_shown() -> None:
    one = suite(target=True, margin=0.03)
    tree = forest(one)
    assert score(tree, at(only(tree, "limit champion"), "x1"), one) == pytest.approx(0, abs=1e-4)
    assert score(tree, at(only(tree, "limit champion open"), "x1"), one) == pytest.approx(-0.03, abs=1e-4)
    assert score(tree, at(only(tree, "limit anchor"), "x1"), one) == pytest.approx(-one.budget, abs=1e-4)


def test_the_bars_end_at_the_bounds_and_the_dots_are_the_differences() -> None:
    one = suite()
    tree = forest(one)
    for role, bounds in (("champion", (one.lower, one.upper)), ("anchor", (one.anchor_lower, one.anchor_upper))):
        bar = only(tree, f"interval {role}")
        assert [score(tree, at(bar, end), one) for end in ("x1", "x2")] == pytest.approx(bounds, abs=1e-4)
    assert score(tree, at(only(tree, "dot anchor"), "cx"), one) == pytest.approx(one.anchor_delta, abs=1e-4)


def test_all_suites_share_one_scale_and_nothing_lies_outside() -> None:
    tree = forest(suite("a", lower=-0.2), suite("b", anchor_upper=0.4), suite("c", budget=0.5))
    zeros = {at(one, "x1") for one in all_of(tree, "zero")}
    assert len(zeros) == 1
    places = [at(one, name) for one in tree.iter() for name in ("x1", "x2", "cx") if one.get(name, "").endswith("%")]
    assert min(places) >= 0
    assert max(places) <= 100
    assert len(all_of(tree, "interval champion")) == len(all_of(tree, "interval anchor")) == 3


def test_a_suite_without_numbers_shows_its_limits_and_no_interval() -> None:
    tree = forest(blocked("safety"))
    assert only(tree, "limit champion") is not None
    assert only(tree, "limit anchor") is not None
    for kind in ("interval", "dot"):
        assert not all_of(tree, f"{kind} champion")
        assert not all_of(tree, f"{kind} anchor")
    assert only(tree, "forest-plot").attrib["aria-label"] == "safety: BLOCK, not judged"


def test_an_anchor_without_a_bound_leaves_the_champion_drawn() -> None:
    tree = forest(suite(anchor_lower=None, anchor_upper=None))
    assert only(tree, "interval champion") is not None
    assert not all_of(tree, "interval anchor")
    assert only(tree, "dot anchor") is not None


def test_the_plot_says_in_words_what_it_shows() -> None:
    said = pictures.forest_words(suite())
    assert said.startswith("safety: PASS; against the champion +0.0121, from −0.0103 to +0.0345, limit −0.0300")
    assert "against the anchor +0.0200, from −0.0417 to +0.0900, limit −0.0800" in said


# ---- wear


@pytest.mark.parametrize(("wear", "margin"), [(0.01, 0.03), (0.03, 0.03), (0.08, 0.03), (0.0, 0.03)])
def test_the_wear_bar_and_its_ticks_are_on_one_scale(wear: float, margin: float) -> None:
    tree = svg(pictures.gauge(wear, margin, "worn"))
    whole = at(only(tree, "whole"), "x1")
    assert at(only(tree, "half"), "x1") == pytest.approx(whole / 2, abs=1e-2)
    assert at(only(tree, "wear worn"), "width") / whole == pytest.approx(wear / margin, abs=1e-3)
    assert at(only(tree, "wear worn"), "width") <= 100


def test_unknown_wear_has_no_bar() -> None:
    text = pictures.gauge(None, 0.03, "fresh")
    assert "wear unknown" in text
    assert not all_of(svg(text), "wear fresh")


# ---- drift


def heights(tree: Element) -> tuple[float, float]:
    """Pixels of 0 and of −budget in the upper panel."""
    return float(all_of(tree, "zero")[0].attrib["y1"]), float(only(tree, "budget").attrib["y1"])


def test_the_drift_line_is_at_its_values_and_the_budget_line_below_at_its_own() -> None:
    tree = svg(pictures_lines.drift("safety", decisions(0.02, -0.01, 0.0), 0.05))
    zero, budget = heights(tree)
    assert budget > zero
    drawn = points(only(tree, "anchor"))
    assert [x for x, _ in drawn] == pytest.approx([13, 55, 97])
    assert [(zero - y) / (budget - zero) * 0.05 for _, y in drawn] == pytest.approx([0.02, -0.01, 0.0], abs=1e-3)


def test_a_missing_value_breaks_the_line_and_is_never_drawn_as_zero() -> None:
    tree = svg(pictures_lines.drift("safety", decisions(0.02, None, 0.01, 0.01), 0.05))
    assert only(tree, "anchor").attrib["d"].count("M") == 2
    assert len(points(only(tree, "anchor"))) == 3


def test_promoted_nights_are_marked_and_what_served_holds_until_the_next() -> None:
    line = decisions(0.02, -0.01, 0.03, 0.0)
    line = [one._replace(promoted=i in (0, 2)) for i, one in enumerate(line)]
    tree = svg(pictures_lines.drift("safety", line, 0.05))
    marked = points(only(tree, "promoted"))
    whole = points(only(tree, "anchor"))
    assert marked == [whole[0], whole[2]]
    assert len(points(only(tree, "judged"))) == 2
    served = points(only(tree, "served"))
    assert served == [whole[0], (whole[2][0], whole[0][1]), whole[2], whole[2]]


def test_tonight_is_marked_once_at_the_end() -> None:
    tree = svg(pictures_lines.drift("safety", decisions(0.02, -0.01), 0.05))
    assert at(only(tree, "tonight"), "cx") == 97
    assert float(only(tree, "tonight").attrib["data-value"]) == -0.01


def test_a_re_anchoring_is_marked_between_the_nights_and_breaks_line_and_steps() -> None:
    line = [one._replace(promoted=True, segment=int(i >= 2)) for i, one in enumerate(decisions(0.02, 0.01, 0.0, 0.0))]
    tree = svg(pictures_lines.drift("safety", line, 0.05))
    whole = points(only(tree, "anchor"))
    assert at(only(tree, "reanchored"), "x1") == pytest.approx((whole[1][0] + whole[2][0]) / 2)
    assert only(tree, "anchor").attrib["d"].count("M") == 2
    assert only(tree, "served").attrib["d"].count("M") == 2


def test_the_lifetime_has_a_line_of_its_own_only_where_it_differs() -> None:
    same = decisions(0.02, 0.01)
    assert not all_of(svg(pictures_lines.drift("safety", same, 0.05)), "lifetime")
    apart = [same[0], same[1]._replace(lifetime=-0.03)]
    tree = svg(pictures_lines.drift("safety", apart, 0.05))
    zero, budget = heights(tree)
    last = points(only(tree, "lifetime"))[-1][1]
    assert (zero - last) / (budget - zero) * 0.05 == pytest.approx(-0.03, abs=1e-3)


def test_the_strip_below_has_a_stroke_a_decision_up_for_better_down_for_worse() -> None:
    line = [
        one._replace(delta=delta) for one, delta in zip(decisions(0.0, 0.0, 0.0), (0.01, -0.004, None), strict=True)
    ]
    tree = svg(pictures_lines.drift("safety", line, 0.05))
    strokes = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", only(tree, "champion").attrib["d"])
    assert len(strokes) == 2
    (base, up), (_, down) = [(float(a), float(b)) for a, b in strokes]
    assert up < base < down
    assert (base - up) / (down - base) == pytest.approx(2.5, abs=0.01)


@pytest.mark.parametrize("nights", [1, 2, 30, 365])
def test_drift_is_drawn_for_any_number_of_nights_within_its_frame(nights: int) -> None:
    line = decisions(*(0.02 * math.sin(i) for i in range(nights)))
    line = [one._replace(promoted=i % 3 == 0) for i, one in enumerate(line)]
    text = pictures_lines.drift("safety", line, 0.05)
    tree = svg(text)
    assert len(points(only(tree, "anchor" if nights <= 60 else "anchor small"))) == nights
    assert len(all_of(tree, "judged")) == (0 if nights in (1, 365) else 1)  # the only night is promoted
    marked = only(tree, "promoted" if nights <= 60 else "promoted small")
    assert len(points(marked)) == math.ceil(nights / 3)
    for x, y in points(marked):
        assert 13 <= x <= 97
        assert pictures_lines.ANCHOR_TOP <= y <= pictures_lines.ANCHOR_END
    assert f"safety: {nights} decision" in tree.attrib["aria-label"]
    assert len(text) < 40_000


def test_a_suite_without_any_number_has_no_chart() -> None:
    assert pictures_lines.drift("safety", [], 0.05) == ""
    assert pictures_lines.drift("safety", [one._replace(delta=None) for one in decisions(None, None)], 0.05) == ""


# ---- training


def test_a_curve_has_a_point_a_step() -> None:
    curves = dict(pictures_lines.training_curves(HISTORY))
    assert len(points(only(svg(curves["loss"]), "steps one"))) == len(HISTORY)


def test_a_step_that_logged_no_finite_value_is_left_out_and_not_drawn_as_zero() -> None:
    holed = [*HISTORY, {"step": 11, "loss": math.nan}, {"step": 12}, {"loss": 0.5}]
    curves = dict(pictures_lines.training_curves(holed))
    assert len(points(only(svg(curves["loss"]), "steps one"))) == len(HISTORY)


def test_a_metric_that_was_never_logged_is_said_to_be_missing() -> None:
    from tasks.gate.report import report_html

    logged = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6}]
    assert [bool(curve) for _, curve in pictures_lines.training_curves(logged)] == [True, False, False]
    assert report_html(**fields(history=logged)).count("not logged") == 2


def test_long_trainings_get_a_running_mean_of_what_came_before() -> None:
    from tasks.gate.report import report_html

    assert pictures_lines.running_mean([1.0, 2.0, 6.0, 10.0], 2) == [1.0, 1.5, 4.0, 8.0]
    assert pictures_lines.smoothing_window(39) == 0
    assert pictures_lines.smoothing_window(240) == 16
    long = [{"step": i, "loss": 1.0 + i % 2} for i in range(60)]
    assert "the running mean of 5" in report_html(**fields(history=long))
    assert len(points(only(svg(dict(pictures_lines.training_curves(long))["loss"]), "mean one"))) == 60
    assert "running mean" not in report_html(**fields())


# ---- the bill


def test_a_bar_is_as_long_as_its_amount_and_says_estimated_only_where_it_is() -> None:
    priced = bill(bill_line("align", 30.0, estimated=True), bill_line("score", 15.0))
    tree = svg(pictures.cost_bars(priced, lambda value: f"{value:.2f}"))
    assert at(only(tree, "bar estimated"), "width") == 2 * at(only(tree, "bar"), "width") == 100
    said = [one.text for one in all_of(tree, "cost-said")]
    assert said == ["30.00 EUR, estimated", "15.00 EUR"]


def test_a_bill_of_nothing_but_zeros_is_drawn() -> None:
    tree = svg(pictures.cost_bars(bill(bill_line("collect", 0.0)), str))
    assert at(only(tree, "bar"), "width") == 0
    assert pictures.cost_bars(bill(), str) == ""


def test_a_step_on_two_devices_names_the_device() -> None:
    lines = [bill_line("align", 1.0), bill_line("align", 2.0, device="h200"), bill_line("score", 1.0)]
    assert pictures.bar_names(lines) == ["align (cpu)", "align (h200)", "score"]


# ---- drawing


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.05, 0.02, [-0.04, -0.02, 0.0, 0.02]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3.0, 240.0, [0.0, 50.0, 100.0, 150.0, 200.0]),
        (7.0, 7.0, [7.0]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low: float, high: float, expected: list[float]) -> None:
    assert drawing.ticks(low, high, 6) == pytest.approx(expected)


def test_ticks_are_written_with_the_decimals_that_tell_them_apart() -> None:
    assert drawing.tick_words([-0.02, 0.0, 0.02]) == ["−0.02", "0.00", "0.02"]
    assert drawing.tick_words([0.0, 0.5, 1.0]) == ["0.0", "0.5", "1.0"]
    assert drawing.tick_words([0.0, 1000.0]) == ["0", "1,000"]


def test_the_ends_of_the_strip_are_round_numbers_that_hold_the_value() -> None:
    assert [pictures_lines.round_up(value) for value in (0.0, 0.0036, 0.02, 0.051, 0.7)] == [
        0.0001, 0.005, 0.02, 0.1, 1.0,
    ]  # fmt: skip


def test_a_scale_of_one_value_has_room_around_it() -> None:
    one = drawing.scale([0.5, math.nan], 0, 100)
    assert one.at(0.5) == 50
    assert Scale(0, 10, 148, 10).at(5) == 79  # downwards


def test_names_in_pictures_are_escaped() -> None:
    nasty = '"><script>alert(1)</script>'
    for text in (
        pictures.forest([suite(nasty)], lambda _: "", lambda _: ""),
        pictures.cost_bars(bill(bill_line(nasty, 1.0)), str),
        pictures_lines.drift(nasty, decisions(0.1), 0.05),
    ):
        assert "<script" not in text
        assert ElementTree.fromstring(text) is not None
