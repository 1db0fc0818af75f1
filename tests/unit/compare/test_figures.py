"""The table's figures, and what is drawn of them."""

import json
from html.parser import HTMLParser

import pytest

from tasks.compare.figures import ALPHA, Figures, hours_of
from tasks.compare.page import comparison_html
from tasks.compare.words import in_words, table
from tasks.compared import START as THE_START
from tasks.compared import Difference
from tasks.gate.methods import differences
from tasks.gate.statistics import compare_graded, compare_right
from tests.unit.compare.figures_made import answers, failed, figures, marks, spent, training

START = (marks("reasoning", answers(0.3, 200, 1)), marks("drift-kl", [1.0] * 100, "score"))


def one_difference(new: list[list[float]], old: list[list[float]], measure: str = "right") -> Difference:
    runs = [training("ppo", seed, [marks("s", values, measure)]) for seed, values in enumerate(new)]  # pyright: ignore
    runs += [training("dpo", seed, [marks("s", values, measure)]) for seed, values in enumerate(old)]  # pyright: ignore
    (found,) = differences(runs, (), "dpo", ALPHA)
    return found


def test_a_seeds_difference_is_the_gates_own_comparison_and_several_are_their_mean() -> None:
    a, b, c, d = (answers(right, 150, seed) for seed, right in enumerate((0.7, 0.5, 0.6, 0.5)))
    one, other = (compare_right([x > 0 for x in new], [x > 0 for x in old], ALPHA / 2) for new, old in ((a, b), (c, d)))
    single, both = one_difference([a], [b]), one_difference([a, c], [b, d])
    assert (single.delta, single.lower, single.upper) == pytest.approx((one.delta, one.lower, one.upper))
    assert both.deltas == pytest.approx((one.delta, other.delta))
    assert both.lower == pytest.approx((one.lower + other.lower) / 2)
    assert both.upper == pytest.approx((one.upper + other.upper) / 2)
    graded = [[0.001 * number for number in range(120)]], [[0.0009 * number for number in range(120)]]
    found = one_difference(*graded, measure="score")
    same = compare_graded(graded[0][0], graded[1][0], ALPHA / 2)
    assert (found.lower, found.upper, found.enough) == (same.lower, same.upper, True)


def test_items_that_all_agree_still_leave_an_interval() -> None:
    found = one_difference([[1.0] * 50, [1.0] * 50], [[1.0] * 50, [1.0] * 50])
    assert found.delta == 0
    assert found.lower < 0 < found.upper


def test_results_of_other_items_are_never_paired() -> None:
    runs = [training("ppo", 0, [marks("s", [1.0] * 20)]), training("dpo", 0, [marks("s", [1.0] * 21)])]
    with pytest.raises(ValueError, match="not of the same items"):
        differences(runs, (), "dpo", ALPHA)


def test_only_seeds_that_both_finished_are_paired() -> None:
    suite = [marks("s", [1.0, 0.0] * 50)]
    runs = [training("dpo", 0, suite), training("dpo", 1, suite), training("ppo", 1, suite), failed("ppo", 0)]
    (found,) = differences(runs, (), "dpo", ALPHA)
    assert found.seeds == (1,)


def test_hours_are_of_gpus_only_where_all_were_and_of_one_device_only() -> None:
    def run(method: str, hours: float, device: str, *, accelerator: bool = True) -> object:
        return training(method, 0, START, hours, device=device, accelerator=accelerator)

    gpu = hours_of("dpo", "ppo", [run("dpo", 1.0, "h100"), run("ppo", 4.0, "h100")])  # pyright: ignore
    assert (gpu.unit, gpu.ratio) == ("GPU-hours", 0.25)
    cpu = hours_of("dpo", "ppo", [run("dpo", 1.0, "cpu", accelerator=False), run("ppo", 2.0, "cpu", accelerator=False)])  # pyright: ignore
    assert (cpu.unit, cpu.ratio) == ("device-hours", 0.5)
    mixed = hours_of("dpo", "ppo", [run("dpo", 1.0, "h100"), run("ppo", 4.0, "mi300x")])  # pyright: ignore
    assert (mixed.ratio, mixed.why) == (None, "they were trained on different devices")


def test_a_training_without_attempts_of_its_own_has_no_hours_and_no_zero() -> None:
    runs = [training("dpo", 0, START, spent=None), training("ppo", 0, START)]
    made = figures(runs, START, "reasoning")
    assert made.methods[0].gpu_hours.mean is None
    assert made.hours[0].ratio is None
    zero = [training("dpo", 0, START, spent=spent(0.0)), training("ppo", 0, START)]
    assert figures(zero, START, "reasoning").hours[0].why == "a training's hours are not known"


def whole() -> Figures:
    drifted = marks("drift-kl", [0.9] * 100, "score")
    runs = [
        training(method, seed, [marks("reasoning", answers(right, 200, seed)), drifted], hours)
        for method, right, hours in (("dpo", 0.5, 1.0), ("ppo", 0.7, 5.0))
        for seed in (3, 4)
    ]
    return figures([*runs, failed("kto", 3, "<b>a & b</b>"), failed("kto", 4)], START, "reasoning")


def test_drift_is_no_quality_and_is_in_no_comparison_of_methods() -> None:
    made = whole()
    assert made.comparisons == 2
    assert {one.difference.suite for one in made.differences} == {"reasoning"}
    assert [one.suite for one in made.methods[0].drift] == ["drift-kl"]
    assert made.methods[0].drift[0].to_start.other == THE_START


def test_the_table_has_a_row_a_method_and_dashes_where_nothing_is_known() -> None:
    heads, (start, dpo, ppo, kto) = table(whole())
    assert heads[:4] == ["method", "finished", "reasoning", "GPU-hours"]
    assert (start[0], dpo[0], ppo[0], kto[0]) == ("start", "DPO", "PPO", "KTO")
    assert kto[1:] == ["0 of 2", *["–"] * (len(heads) - 2)]
    assert dpo[3] == "1 ± 0"
    assert {len(row) for row in (start, dpo, ppo, kto)} == {len(heads)}
    assert "kto" not in in_words(whole()).splitlines()[0]


class _Reads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value or "" for key, value in attrs if key == "data-value"]


def test_the_page_holds_every_seed_escapes_what_failed_and_runs_nothing() -> None:
    made = whole()
    runs = [training("dpo", 3, START)]
    page = comparison_html(made, runs)
    read = _Reads()
    read.feed(page)
    assert "script" not in read.tags
    assert "<b>a & b</b>" not in page
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in page
    for method in made.methods[:2]:
        for suite in method.quality:
            assert {f"{100 * delta:.6g}" for delta in suite.to_start.deltas} <= set(read.values)
        assert {f"{value:.6g}" for value in method.gpu_hours.values} <= set(read.values)
    assert comparison_html(made, runs) == page
    assert Figures.model_validate(json.loads(made.model_dump_json())) == made
