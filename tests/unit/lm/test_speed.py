"""A device's rate: the formula until a night has measured it, and always how wrong such forecasts were so far."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.hardware import hardware_book
from tasks.errors import PlanError
from tasks.lm.speed import ASSUMED, CPU_FLOPS, NIGHTS, Training, formula, history, rate, rate_of, remember

H100 = hardware_book().of("h100")
RATES = st.lists(st.floats(1e9, 1e15), min_size=1, max_size=15)


def nights(*rates: float) -> list[Training]:
    return [
        Training(at=float(number), flops=one * 100, seconds=100.0, devices=1, forecast=1.0, source="formula")
        for number, one in enumerate(rates)
    ]


def test_without_a_night_the_rate_is_the_assumed_share_of_the_peak_and_the_words_say_so(tmp_path: Path) -> None:
    first = rate(tmp_path, "h100", H100)
    assert first.flops == pytest.approx(989e12 * ASSUMED["nvidia"].share)
    assert first.in_words() == "formula ±30%"
    assert rate(tmp_path, "mi300x", hardware_book().of("mi300x")).in_words() == "formula ±50%"
    assert rate(tmp_path, "cpu", None).flops == CPU_FLOPS


def test_every_assumed_share_names_its_source_and_an_unknown_accelerator_is_as_good_as_a_guess(tmp_path: Path) -> None:
    assert all(len(one.source) > 20 and 0 < one.share < 1 for one in ASSUMED.values())
    assert rate(tmp_path, "some-gpu", None).in_words() == "formula ±100%"


def test_one_night_makes_the_forecast_and_two_make_its_error(tmp_path: Path) -> None:
    remember(tmp_path, "h100", 4e17, 1000.0, 2, H100)
    once = rate(tmp_path, "h100", H100)
    assert (once.flops, once.source, once.tested) == (2e14, "calibrated", False)
    assert once.in_words() == "1 night, ±30% untested"
    # the second took 1,250 s for what the first had forecast 1,000 s
    remember(tmp_path, "h100", 4e17, 1250.0, 2, H100)
    twice = rate(tmp_path, "h100", H100)
    assert twice.error == pytest.approx(0.25)
    assert twice.in_words() == "calibrated ±25%, 2 nights"
    assert rate(tmp_path, "h200", hardware_book().of("h200")).source == "formula"  # of its own kind only


def test_the_history_keeps_what_was_forecast_beside_what_was_measured(tmp_path: Path) -> None:
    remember(tmp_path, "h100", 4e17, 1000.0, 2, H100)
    remember(tmp_path, "h100", 4e17, 1250.0, 2, H100)
    first, second = history(tmp_path, "h100")
    assert (first.source, first.forecast) == ("formula", pytest.approx(989e12 * 0.21))
    assert (second.source, second.forecast, second.rate) == ("calibrated", 2e14, 1.6e14)


def test_a_training_that_did_nothing_or_took_no_time_teaches_nothing(tmp_path: Path) -> None:
    remember(tmp_path, "cpu", 0.0, 10.0, 1, None)
    remember(tmp_path, "cpu", 1e12, 0.0, 1, None)
    assert history(tmp_path, "cpu") == []


def test_a_damaged_line_is_named_rather_than_passed_over(tmp_path: Path) -> None:
    remember(tmp_path, "cpu", 1e12, 10.0, 1, None)
    path = tmp_path / "speed" / "cpu.jsonl"
    path.write_text(path.read_text() + '{"at": 1}\n')
    with pytest.raises(PlanError, match=r"line 2 of .*cpu\.jsonl"):
        rate(tmp_path, "cpu", None)


@given(RATES)
def test_the_forecast_lies_among_what_was_measured_and_by_the_newest_only(rates: list[float]) -> None:
    found = rate_of(nights(*rates), formula("cpu", None))
    newest = rates[-NIGHTS:]
    assert min(newest) * (1 - 1e-9) <= found.flops <= max(newest) * (1 + 1e-9)
    assert found == rate_of(nights(*rates), formula("cpu", None).model_copy(update={"flops": 1.0}))


@given(st.floats(1e9, 1e15), st.integers(2, 12))
def test_nights_that_all_agree_leave_no_error(one: float, count: int) -> None:
    assert rate_of(nights(*[one] * count), formula("cpu", None)).error == pytest.approx(0, abs=1e-9)
