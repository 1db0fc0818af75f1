"""inspect_ai's scorers as our scorers and checks. Pure, without inspect_ai.

Facts from inspect_ai 0.3.285: scorer/_match.py, _common.py (match_str), _pattern.py, _classification.py (exact),
_choice.py, _util/text.py (strip_punctuation). ``match``, ``includes`` and ``pattern`` find an answer right where
inspect_ai does, but for letters whose case isn't one letter (ß); ``exact`` is our own, which keeps articles and what
stands inside; numbers are read as ours; ``choice`` compares the choices' likelihoods instead of asking for a letter.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tasks.errors import SuiteError
from tasks.gate.suites import Check, Scorer

MAX_TOKENS = 256  # where a task doesn't say how long an answer may be
AROUND = r"[ \t\n\r\x0b\x0c!-/:-@\[-`{-~]"  # white space and ASCII punctuation, which `match` cuts off both ends
MEND = "take one of inspect_ai's choice, match, includes, pattern, exact; or write the items as JSONL (docs/suites.md)"
# settings of a request that don't change what is asked for
ABOUT_REQUESTS = {
    "max_retries", "timeout", "attempt_timeout", "stream_idle_timeout", "max_connections", "adaptive_connections",
    "seed", "cache", "batch", "fail_on_refusal",
}  # fmt: skip

Texts = tuple[str, ...]


class Rule(NamedTuple):
    """How a sample is judged: by its choices (``check`` is None), or by a check made from its place and targets."""

    check: Callable[[str, Texts], Check] | None


def rule_of(file: str, name: str, given: Mapping[str, Any]) -> Rule:
    """The rule of a scorer by its name and parameters.

    Raises:
        SuiteError: it isn't supported.
    """
    known: dict[str, tuple[set[str], Callable[[], Rule]]] = {
        "choice": (set(), lambda: Rule(None)),
        "match": ({"location", "ignore_case", "numeric"}, lambda: _match(file, **given)),
        "includes": ({"ignore_case"}, lambda: _includes(**given)),
        "pattern": ({"pattern", "ignore_case", "match_all"}, lambda: _pattern(file, **given)),
        "exact": (set(), lambda: Rule(lambda where, texts: Check(kind="exact", texts=_said(where, texts)))),
    }
    if name not in known:
        raise SuiteError(f"{file}: scorer: {name!r} isn't supported", do=MEND)
    parameters, made = known[name]
    if given.keys() - parameters:
        raise SuiteError(f"{file}: scorer: {name} with {', '.join(sorted(given.keys() - parameters))}", do=MEND)
    return made()


def _match(file: str, location: str = "end", ignore_case: bool = True, numeric: bool = False) -> Rule:
    forms = {
        "begin": rf"\A{AROUND}*+(?:%s)",
        "end": rf"(?:%s){AROUND}*+\Z",
        "any": "(?:%s)",
        "exact": rf"\A{AROUND}*+(?:%s){AROUND}*+\Z",
    }
    if numeric and location != "end":
        raise SuiteError(f"{file}: scorer: match(numeric=True, location={location!r}) isn't supported", do=MEND)

    def check(where: str, texts: Texts) -> Check:
        numbers = [number_of(text) for text in texts] if numeric else []
        if len(numbers) == 1 and numbers[0] is not None:
            return Check(kind="number", number=numbers[0], tolerance=_tolerance(numbers[0]))
        if any(number is not None for number in numbers):
            raise SuiteError(f"{where}: target: {texts} has several numbers", do="give one number, or texts")
        bare = tuple(re.sub(rf"\A{AROUND}+|{AROUND}+\Z", "", text) for text in texts)
        return _regex(forms[location] % _either(_said(where, bare)), ignore_case)

    return Rule(check)


def _includes(ignore_case: bool = True) -> Rule:
    def check(where: str, texts: Texts) -> Check:
        if any(text != text.strip() for text in texts):
            raise SuiteError(f"{where}: target: {texts} has white space around", do="take it away")
        return _regex(_either(_said(where, texts)), ignore_case)

    return Rule(check)


def _pattern(file: str, pattern: str = "", ignore_case: bool = True, match_all: bool = False) -> Rule:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise SuiteError(f"{file}: scorer: the pattern {pattern!r} is invalid: {error}", do="mend it") from error
    if groups > 1:
        raise SuiteError(
            f"{file}: scorer: the pattern {pattern!r} has {groups} groups", do="keep one: write the others as (?:…)"
        )
    case = "(?i)" if ignore_case else ""
    fold: Any = ("case",) if ignore_case else ()
    form = Check(kind="extract", pattern=case + pattern, fold=fold)
    return Rule(lambda where, texts: form.model_copy(update={"texts": _said(where, texts)}))


def _regex(pattern: str, ignore_case: bool) -> Check:
    return Check(kind="regex", pattern=f"(?i){pattern}" if ignore_case else pattern)


def _either(texts: Texts) -> str:
    return "|".join(re.escape(text) for text in texts)


def _said(where: str, texts: Texts) -> Texts:
    if not texts or not all(text.strip() for text in texts):
        raise SuiteError(f"{where}: target: {texts} has nothing that an answer could be held against", do="give a text")
    return texts


def number_of(text: str) -> float | None:
    """A target as a number; currency signs and commas of thousands don't count."""
    try:
        value = float(re.sub(r"[$€£,*_]", "", text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _tolerance(number: float) -> float:
    """inspect_ai compares five significant digits: half of the fifth."""
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(number))) - 4) if number else 0.0


def place_of(where: str, target: Texts, choices: Texts) -> int:
    """The index of the right choice, from its letter.

    Raises:
        SuiteError: several letters, or none of the choices'.
    """
    letter = target[0].strip().upper() if len(target) == 1 else ""
    place = ord(letter) - ord("A") if len(letter) == 1 else -1
    if not 0 <= place < len(choices):
        raise SuiteError(
            f"{where}: target: {', '.join(target)!r} is no letter of one of the {len(choices)} choices",
            do="give one letter",
        )
    return place


def scorer_for(file: str, rule: Rule, config: Mapping[str, Any], *, strict: bool) -> Scorer:
    """The suite's scorer.

    Args:
        config: what inspect_ai's GenerateConfig sets.
        strict: refuse what would change the answers; of a log only length and stops are taken, the rest is about the
            run that is over.

    Raises:
        SuiteError: sampling, or another setting that isn't supported.
    """
    given = {name: value for name, value in config.items() if value is not None}
    unknown = given.keys() - ABOUT_REQUESTS - {"max_tokens", "stop_seqs", "temperature"}
    if strict and (unknown or given.get("temperature")):
        named = ", ".join(sorted(unknown) or ["temperature"])
        raise SuiteError(f"{file}: config: {named} isn't supported", do="take it out: answers are greedy")
    if rule.check is None:
        return Scorer(kind="choice", normalise="tokens")
    stops = tuple(given.get("stop_seqs") or ())
    return Scorer(kind="checks", max_tokens=given.get("max_tokens", MAX_TOKENS), stop=stops)
