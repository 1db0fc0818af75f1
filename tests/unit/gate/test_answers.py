"""Checks of generated answers: golden cases a kind, what all answers have in common, answers meant to break them."""

import json
import sys
import time
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import SuiteError
from tasks.gate import answers
from tasks.gate.answers import LONGEST, bullets, check_problem, holds, lines, numbers, right, sentences, words
from tasks.gate.suites import Check, CheckKind, Item, Message

ANY_TEXT = st.text(max_size=200)

# kind, fields, answers that hold, answers that don't
GOLDEN: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "exact",
        {"texts": ("Paris", "City of Light")},
        ["Paris", " paris.\n", '"PARIS"', "**Paris**", "the city of light"[4:], "“Paris”!"],
        ["", "Paris, France", "par is", "It is Paris", "Pariss"],
    ),
    ("exact", {"texts": ("don't know",)}, ["Don’t   know.", "don't\nknow"], ["dont know"]),
    ("exact", {"texts": ("9:15",)}, ["9:15.", "(9:15)"], ["9:15 pm", "19:15", "915"]),
    (
        "number",
        {"number": 1234.5},
        ["1234.5", "1,234.50", "It is $1,234.5.", "1'234.5 CHF", "1\u202f234.5", "€1,234.5!", "3 + 4 makes 1234.5"],
        ["", "none", "1234", "-1234.5", "1234.5 or 3", "1.234,5"],
    ),
    ("number", {"number": -5.0}, ["-5", "\u22125 degrees", "-$5", "$-5", "x=-5", "(-5)"], ["5", "3-5", "- 5", "a-5"]),
    ("number", {"number": 25.0}, ["25%", "25 %", "25 percent", "It was 20, now 25"], ["0.25", "25.1", "2.5"]),
    ("number", {"number": 3.1, "tolerance": 0.05}, ["3.14", "3.06", "3.1"], ["3.16", "3.04", "31"]),
    ("number", {"number": 44.0}, ["44 g of CO2", "44 from v1.2.3", "44 on 12.03.2024"], ["CO2 has 44, or 45"]),
    ("number", {"number": 1500.0}, ["1.5e3", "1500.0"], ["1.5"]),
    ("number", {"number": 0.5}, [".5", "0.5", "$.50"], ["5", "1/2"]),
    ("regex", {"pattern": r"\A\d{3}-\d{4}\Z"}, ["555-1234", " 555-1234\n"], ["555-12345", "call 555-1234", ""]),
    ("regex", {"pattern": r"(?i)\border\b"}, ["Your ORDER is here"], ["borders", "orders"]),
    ("extract", {"texts": ("7",), "pattern": r"## (\d+)"}, ["2 and 5\n## 7", "## 7 ## 8"], ["7", "## 8 ## 7"]),
    ("extract", {"texts": ("7",), "pattern": r"\d+", "pick": "last"}, ["2 and 5 are 7", "7."], ["7 is 2 and 5", ""]),
    (
        "extract",
        {"texts": ("Blue Car",), "fold": ("strip", "case", "punctuation"), "drop": ("the ",)},
        ["  blue car! ", "the BLUE car"],
        ["blue cars", "a blue car", "bluecar"],
    ),
    ("extract", {"texts": ("a1",), "fold": ("digits",)}, ["a2", "a"], ["b1", "A1"]),
    (
        "contains",
        {"texts": ("refund", "five days")},
        ["A Refund takes five\n days.", "FIVE DAYS until your (refund)"],
        ["A refund.", "five days", "refunds take five days", "refund in five dayss", ""],
    ),
    ("contains", {"texts": ("C++", "#1")}, ["c++ is #1", "#1: C++!"], ["c+ is #1", "C++ is #12"]),
    ("contains", {"texts": ("straße",)}, ["Die STRASSE", "straße"], ["strasse1", "strase"]),
    ("excludes", {"texts": ("art", "sorry")}, ["A party", "", "sorrow"], ["Art!", "I am SORRY.", "modern art, sorry"]),
    (
        "starts",
        {"texts": ("No", "Dear customer,")},
        ["No.", "no, thanks", "**No**", '"Dear Customer, hello', "Dear  customer, x"],
        ["Nothing", "Oh no", "Dear customer hello", ""],
    ),
    (
        "ends",
        {"texts": ("Best regards",)},
        ["Yours. Best regards", "best regards.", 'x "Best  Regards"', "Best regards!\n"],
        ["Best regards, Tom", "unbest regards"[1:] + "x", "worstbest regards", ""],
    ),
    ("ends", {"texts": ("Anything else?",)}, ["Done. Anything else?", "Anything else?*"], ["Anything else", "else?"]),
    ("words", {"least": 2, "most": 3}, ["two words", "one two three", "a - b"], ["", "one", "a b c d", "- - -"]),
    ("words", {"most": 1}, ["yes", "well-known"], ["yes please"]),
    (
        "sentences",
        {"least": 2, "most": 2},
        [
            "One. Two.",
            "Is it? Yes!",
            "Costs 3.50 euros. Fine",
            "Ask Dr. Who. He knows.",
            "One…\nTwo",
            "A line\n\nB line",
        ],
        ["One.", "One. Two. Three.", "", "...", "e.g. this one"],
    ),
    ("sentences", {"least": 3}, ["- one\n- two\n- three", "1. one\n2. two\n3. three."], ["- one\n- two", "1. one"]),
    (
        "bullets",
        {"least": 2, "most": 2},
        ["- a\n- b", "* a\n* b", "Here:\n  • a\n\n  • b\nBye", "- a\r\n- b"],
        ["- a", "- a\n- b\n- c", "1. a\n2. b", "-a\n-b", "a - b - c", "-\n-"],
    ),
    ("lines", {"least": 2, "most": 2}, ["a\nb", "a\n\n  \nb\n"], ["a", "a\nb\nc", ""]),
    (
        "json",
        {"texts": ("name", "age")},
        [
            '{"name": "A", "age": 1}',
            ' {"age": {"deep": [1, {}]}, "name": null}\n',
            '```json\n{"name": 1, "age": 2}\n```',
        ],
        [
            '{"name": 1}',
            '{"name": 1, "age": 2, "x": 3}',
            '{"name": 1, "age": 2} Done.',
            'Here: {"name": 1, "age": 2}',
            '["name", "age"]',
            '{"name": 1, "age": 2, "age": 3}',
            '{"name": 1, "age": NaN}',
            "{'name': 1, 'age': 2}",
            '```json\n{"name": 1, "age": 2}\n```\nDone.',
            '{"name": {"age": 1}}',
        ],
    ),
    ("json", {}, ["[]", "{}", "[1, 2]", "```\n[1]\n```"], ["1", '"text"', "null", "", "[1] [2]", "[1,]", "Infinity"]),
    ("upper", {}, ["YES, 3 OF THEM!", "ÄÖÜ"], ["Yes", "YES, sir", "123", ""]),
    ("lower", {}, ["yes, 3 of them", "äöü"], ["Yes", "yes, SIR", "123", ""]),
    ("refuses", {}, ["no way", "well, no way"], ["sure", "", "  \n"]),
    ("answers", {}, ["sure"], ["no way", "", "  \n"]),
]


@pytest.fixture(autouse=True)
def _simple_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier has tests of its own; here "no way" is a refusal and nothing else is."""
    simple = SimpleNamespace(is_refusal=lambda text: "no way" in text)
    monkeypatch.setitem(sys.modules, "tasks.lm.refusal", simple)  # pyright: ignore[reportArgumentType]


def make(kind: str, **fields: Any) -> Check:
    return Check.model_validate({"kind": kind, **fields})


def item(*checks: Check) -> Item:
    return Item(id="i", messages=(Message(role="user", content="why"),), checks=checks)


CASES = [(make(kind, **fields), good, bad) for kind, fields, good, bad in GOLDEN]


@pytest.mark.parametrize(("check", "good", "bad"), CASES, ids=[kind for kind, *_ in GOLDEN])
def test_golden_answers_hold_and_broken_ones_do_not(check: Check, good: list[str], bad: list[str]) -> None:
    assert check_problem(check) is None
    assert [answer for answer in good if not holds(check, answer)] == []
    assert [answer for answer in bad if holds(check, answer)] == []


def test_every_kind_has_golden_cases_and_a_function() -> None:
    assert {kind for kind, *_ in GOLDEN} == set(get_args(CheckKind)) == set(answers._HOLDS) == set(answers._FIELDS)


@pytest.mark.parametrize("kind", get_args(CheckKind))
@pytest.mark.parametrize("verdict", [True, False])
def test_the_golden_cases_notice_a_kind_that_always_says_the_same(
    kind: str, verdict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(answers._HOLDS, kind, lambda check, answer: verdict)
    ours = [(good, bad, check) for check, good, bad in CASES if check.kind == kind]
    assert any(not holds(check, a) for good, _, check in ours for a in good) or any(
        holds(check, a) for _, bad, check in ours for a in bad
    )


def test_an_answer_is_right_when_all_checks_hold_and_never_when_it_is_empty() -> None:
    both = item(make("upper"), make("words", most=2))
    assert right(both, "OH YES")
    assert not right(both, "OH yes")
    assert not right(both, "OH YES PLEASE")
    assert not any(right(item(make("excludes", texts=["x"])), empty) for empty in ("", " \n\t", "\u00a0"))


def test_an_item_without_checks_is_an_error_that_names_it() -> None:
    with pytest.raises(SuiteError, match="the item i has no checks"):
        right(item(), "anything")


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("words", {}, "says neither least nor most"),
        ("lines", {"least": 3, "most": 2}, "at least 3 and at most 2"),
        ("bullets", {"least": 1, "texts": ["x"]}, "no use for texts"),
        ("exact", {}, "needs texts"),
        ("exact", {"texts": ["ok", " \n"]}, "no answer could be held against"),
        ("starts", {"texts": ['"']}, "no answer could be held against"),
        ("ends", {"texts": ["**"]}, "no answer could be held against"),
        ("contains", {"texts": ["x"], "tolerance": 1}, "no use for tolerance"),
        ("excludes", {"pattern": "x"}, "no use for pattern"),
        ("number", {}, "needs number"),
        ("number", {"number": 1, "least": 1}, "no use for least"),
        ("regex", {}, "needs pattern"),
        ("regex", {"pattern": "("}, "invalid"),
        ("regex", {"pattern": "a{9999999999}"}, "invalid"),
        ("regex", {"pattern": "(a+)+$"}, "could take too long"),
        ("regex", {"pattern": "(?:a|a)*b"}, "could take too long"),
        ("regex", {"pattern": ".*a.*b"}, "could take too long"),
        ("regex", {"pattern": "(?m)^.*a.*b"}, "could take too long"),
        ("regex", {"pattern": "(?=(a+)+$)b"}, "could take too long"),
        ("regex", {"pattern": r"(\w+)\s\1\s*x"}, "could take too long"),
        ("regex", {"pattern": "(x)?(?(1)(a+)+|b)$"}, "could take too long"),
        ("json", {"least": 1}, "no use for least"),
        ("upper", {"texts": ["x"]}, "no use for texts"),
        ("refuses", {"number": 0}, "no use for number"),
    ],
)
def test_a_check_that_can_not_be_judged_is_refused_with_its_reason(
    kind: str, fields: dict[str, Any], problem: str
) -> None:
    assert problem in (check_problem(make(kind, **fields)) or "")


@pytest.mark.parametrize(
    "pattern",
    [r"a*b", r"[ab]*c", r"\A[ab]*[ab]*c", r"(?m)^\d++\. [^\n]++$", r"\A(?:\w++\s?+)*+!", r"(?:[ab]x?){1,9}c"],
)
def test_a_pattern_that_is_allowed_ends_in_seconds_on_the_longest_answers(pattern: str) -> None:
    assert check_problem(make("regex", pattern=pattern)) is None
    start = time.process_time()
    for answer in ("a" * LONGEST, "ab" * (LONGEST // 2), "1. a\n" * (LONGEST // 5), "a " * (LONGEST // 2)):
        holds(make("regex", pattern=pattern), answer)
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    "unit", ["a", "1,", "1.", "- a\n", "e.g. ", "[", "{", "```\n", "\n \n", "1e", '"', ". ", "\u0301"]
)
def test_an_answer_of_a_megabyte_or_made_to_be_slow_is_judged_at_once(unit: str) -> None:
    start = time.process_time()
    for check, _, _ in CASES:
        assert not holds(check, unit * 1_000_000)
        holds(check, (unit * LONGEST)[:LONGEST])
    assert time.process_time() - start < 10


def test_brackets_nested_too_deep_for_the_parser_are_not_json() -> None:
    assert not holds(make("json"), "[" * 4000 + "]" * 4000)


@given(ANY_TEXT)
def test_every_check_judges_any_text_without_an_error(answer: str) -> None:
    assert all(holds(check, answer) in (True, False) for check, _, _ in CASES)


@given(ANY_TEXT)
def test_contains_and_excludes_of_one_text_are_opposites(answer: str) -> None:
    assert holds(make("contains", texts=["a"]), answer) != holds(make("excludes", texts=["a"]), answer)


@given(ANY_TEXT, st.sampled_from(["", " ", "\n", "\t "]), st.sampled_from(["", " ", "\n\n"]))
def test_white_space_around_an_answer_changes_no_count(answer: str, before: str, after: str) -> None:
    for count in (words, sentences, lines):
        assert count(before + answer + after) == count(answer)


@given(
    st.floats(-1e9, 1e9).map(lambda value: round(value, 3)), st.sampled_from(["", "$", "€"]), st.sampled_from(["", "."])
)
def test_a_number_is_read_back_however_it_is_written(value: float, currency: str, stop: str) -> None:
    sign = "-" if value < 0 else ""
    for text in (f"{abs(value):,.3f}", f"{abs(value):.3f}", f"{abs(value):,.3f}".replace(",", "'")):
        answer = f"So 7 becomes {sign}{currency}{text}{stop}"
        assert numbers(answer) == [7, value]
        assert holds(make("number", number=value), answer)
        assert not holds(make("number", number=value + 0.01), answer)


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma"]), min_size=1, max_size=12))
def test_counts_follow_what_was_written(parts: list[str]) -> None:
    assert words(" ".join(parts)) == len(parts)
    assert sentences(". ".join(parts) + ".") == len(parts)
    assert lines("\n\n".join(parts)) == len(parts)
    assert bullets("".join(f"- {part}\n" for part in parts)) == len(parts)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.integers() | st.lists(st.none()), max_size=4))
def test_json_with_exactly_its_keys_holds_and_with_one_more_does_not(value: dict[str, Any]) -> None:
    keys = [key for key in value if key.strip()]
    value = {key: value[key] for key in keys}
    text = json.dumps(value, ensure_ascii=False)
    assert holds(make("json"), text)
    if keys:
        assert holds(make("json", texts=keys), f"```json\n{text}\n```")
        assert not holds(make("json", texts=[*keys, "extra key"]), text)
        assert not holds(make("json", texts=keys), f"{text} That's it.")


@given(ANY_TEXT)
def test_an_exact_text_is_its_own_answer(text: str) -> None:
    check = make("exact", texts=[text])
    if check_problem(check) is None:
        assert holds(check, f" {text}\n")
