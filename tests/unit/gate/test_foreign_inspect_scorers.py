"""inspect_ai's scorers as ours: right here where they say so themselves."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import SuiteError
from tasks.gate import answers
from tasks.gate.foreign.inspect_rules import place_of, rule_of, scorer_for
from tasks.gate.suites import Check, Scorer

texts = st.text("aAb1.,! \n", max_size=8)
SCORERS: list[tuple[str, dict[str, Any]]] = [
    *(("match", {"location": place, "ignore_case": case}) for place in ("begin", "end", "any", "exact")
      for case in (True, False)),
    ("includes", {}), ("includes", {"ignore_case": False}),
    ("pattern", {"pattern": r"a(\w*)"}), ("pattern", {"pattern": r"b.", "ignore_case": False, "match_all": True}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameters"), SCORERS)
@settings(max_examples=200, deadline=None)
@given(
    said=texts, others=st.lists(texts, max_size=1), start=st.integers(0, 8), end=st.integers(0, 8), swap=st.booleans()
)
def test_an_answer_is_right_where_inspect_ais_own_scorer_says_so(
    name: str, parameters: dict[str, Any], said: str, others: list[str], start: int, end: int, swap: bool
) -> None:
    part = said[start:end]
    targets = [part.swapcase() if swap else part, *others]
    pytest.importorskip("inspect_ai", reason="the extra `suites` isn't installed")
    import inspect_ai.scorer as theirs  # pyright: ignore[reportMissingImports]
    from inspect_ai.model import ModelName, ModelOutput  # pyright: ignore[reportMissingImports]
    from inspect_ai.solver import TaskState  # pyright: ignore[reportMissingImports]

    build = rule_of("task", name, parameters).check
    assert build is not None
    try:
        check = build("here", tuple(targets))
    except SuiteError:  # a target of which nothing is left is refused when the task is read
        return
    output = ModelOutput.from_content("none", said)
    state = TaskState(ModelName("none/none"), "a", 1, "q", [], output=output)
    score = asyncio.run(getattr(theirs, name)(**parameters)(state, theirs.Target(targets)))
    assert (score is not None and score.value == "C") == answers.holds(check, said)


@pytest.mark.parametrize(
    ("target", "said", "right"),
    [("42", "It is 42.", True), ("1,000", "1000", True), ("3.14159", "3.1417", False), ("3.14159", "3.141591", True),
     ("0", "0", True), ("5", "25", False), ("-7", "minus? -7", True)],
)  # fmt: skip
def test_a_number_is_compared_to_five_digits(target: str, said: str, right: bool) -> None:
    build = rule_of("task", "match", {"numeric": True}).check
    assert build is not None
    check = build("here", (target,))
    assert check.kind == "number"
    assert answers.holds(check, said) is right


def test_a_numeric_match_of_a_word_is_a_match_of_text_and_of_two_numbers_is_refused() -> None:
    build = rule_of("task", "match", {"numeric": True}).check
    assert build is not None
    assert answers.holds(build("here", ("many",)), "So many!")
    with pytest.raises(SuiteError, match="several numbers"):
        build("here", ("1", "2"))


def test_exact_is_our_own_check() -> None:
    build = rule_of("task", "exact", {}).check
    assert build is not None
    assert build("here", ("one", "1")) == Check(kind="exact", texts=("one", "1"))


def test_a_letter_is_the_place_of_a_choice() -> None:
    assert place_of("here", (" b",), ("x", "y")) == 1
    for target in ((), ("",), ("AB",), ("C",), ("1",), ("A", "B")):
        with pytest.raises(SuiteError, match="no letter"):
            place_of("here", target, ("x", "y"))


def test_a_logs_sampling_is_not_taken_over_and_a_tasks_is_refused() -> None:
    rule = rule_of("task", "exact", {})
    config = {"temperature": 0.5, "max_tokens": 7, "top_p": None, "max_retries": 3}
    assert scorer_for("log", rule, config, strict=False) == Scorer(kind="checks", max_tokens=7)
    with pytest.raises(SuiteError, match="temperature"):
        scorer_for("task", rule, config, strict=True)
