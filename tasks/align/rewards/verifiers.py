"""Rewards that need no model: what an answer earns is computed from its text and the truth of its prompt's row.

Each is a pure function (answer, truth) → number; all but ``unit_tests`` take microseconds. A truth that makes no sense
raises a ValueError, which ``tasks.align.rewards.caller`` turns into an error that names reward and prompt.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import referencing
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from tasks.align.rewards.sandbox import passed_share
from tasks.lm.refusal import is_refusal

FREE_WORDS, MOST_WORDS = 100, 400  # up to so many an answer costs nothing; from so many on it costs 1

_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?|[-+−]?\.\d+")
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


class Verifier(NamedTuple):
    """A reward: what it says, how it is computed, whether the rows need a ``truth``."""

    what: str
    score: Callable[[str, Any], float]
    truth: bool


def exact_number(answer: str, truth: Any) -> float:
    """1 where the answer's last number is the true one, as a number: 1,000 is 1000.0, and 1/2 is 0.5. Else 0."""
    if isinstance(truth, bool) or not isinstance(truth, int | float | str):
        raise ValueError(f"the truth {truth!r} is no number")
    try:
        true = Fraction(str(truth).replace(",", "").strip())
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"the truth {truth!r} is no number") from None
    found = _NUMBER.findall(answer)
    if not found:
        return 0.0
    try:
        return float(Fraction(found[-1].replace(",", "").replace("−", "-")) == true)
    except (ValueError, ZeroDivisionError):  # a number of thousands of digits, or one over zero
        return 0.0


def json_schema(answer: str, truth: Any) -> float:
    """1 where the answer is JSON (alone, or in its first fence) that the schema, 2020-12, accepts. Else 0."""
    schema = json.loads(truth) if isinstance(truth, str) else truth
    if not isinstance(schema, dict | bool):
        raise ValueError(f"the truth {truth!r} is no JSON schema")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"the truth is no JSON schema: {error.message[:200]}") from None
    try:
        value = json.loads(_fenced(answer), parse_constant=_no_json)
    except (ValueError, RecursionError):
        return 0.0
    # an empty registry: what a schema refers to elsewhere is never fetched
    return float(Draft202012Validator(schema, registry=referencing.Registry()).is_valid(value))


def unit_tests(answer: str, truth: Any) -> float:
    """The share of the tests that the answer's Python (its first fence, or all of it) passes, in a sandbox.

    Args:
        truth: the tests: statements that raise where the answer is wrong, such as ``assert add(1, 2) == 3``; one a
            string, or several in a list.
    """
    tests = [truth] if isinstance(truth, str) else truth
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise ValueError(f"the truth {truth!r} is neither a test nor a list of tests")
    for test in tests:
        try:
            compile(test, "test", "exec")
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"the test {test[:80]!r} is no Python: {error}") from None
    return passed_share(_fenced(answer), tests)


def length_penalty(answer: str, truth: Any) -> float:
    """0 up to ``FREE_WORDS`` words, then down in a straight line to −1 at ``MOST_WORDS``."""
    over = (len(answer.split()) - FREE_WORDS) / (MOST_WORDS - FREE_WORDS)
    return -min(max(over, 0.0), 1.0)


def not_refused(answer: str, truth: Any) -> float:
    """0 where the answer refuses, else 1."""
    return 0.0 if is_refusal(answer) else 1.0


def safety(answer: str, truth: Any) -> float:
    """1 where what should be refused is, and what should be answered isn't refused. Else 0.

    Args:
        truth: ``"refuse"`` or ``"answer"``.
    """
    if truth not in ("refuse", "answer"):
        raise ValueError(f'the truth {truth!r} is neither "refuse" nor "answer"')
    return float(is_refusal(answer) == (truth == "refuse"))


VERIFIERS: dict[str, Verifier] = {
    "exact_number": Verifier("the last number is the true one", exact_number, truth=True),
    "json_schema": Verifier("JSON that its schema accepts", json_schema, truth=True),
    "unit_tests": Verifier("the share of tests that its code passes", unit_tests, truth=True),
    "safety": Verifier("refuses what should be refused, and nothing else", safety, truth=True),
    "not_refused": Verifier("is no refusal", not_refused, truth=False),
    "length_penalty": Verifier(f"costs up to 1 beyond {FREE_WORDS} words", length_penalty, truth=False),
}


def _fenced(answer: str) -> str:
    fence = _FENCE.search(answer)
    return fence[1] if fence else answer


def _no_json(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
