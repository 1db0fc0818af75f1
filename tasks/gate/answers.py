"""What a generated answer must live up to: one small function a kind of check. Pure.

A check that can't be judged is refused when the suite is loaded (``check_problem``), so that a night never meets one.
Answers are read as people read them: white space around them, quotes, the form of an apostrophe and case don't count,
unless the check is about them. An answer longer than ``LONGEST`` characters holds no check: no item asks for that
much, and the work of judging stays bounded.
"""

import json
import math
import re
import re._constants as sre  # pyright: ignore[reportMissingImports]
import re._parser as sre_parser  # pyright: ignore[reportMissingImports]  # parsed patterns have no public name
import unicodedata
from collections.abc import Callable
from typing import Any

from tasks.errors import SuiteError
from tasks.gate.foreign.extract import extracted
from tasks.gate.suites import Check, Item

LONGEST = 8_000  # characters of an answer
MOST_STEPS = 8.0 * LONGEST**2  # of a pattern on the longest answer: seconds at worst

_QUOTES = str.maketrans({"’": "'", "‘": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "\u00a0": " "})
_AROUND = " \t\r\n.,;:!?…\"'`*_()[]{}<>¡¿"  # around an exact answer these say nothing
_BEFORE = " \t\r\n\"'`*_#"  # may stand before the first words of an answer: quotes, emphasis, a heading's mark
_AFTER = " \t\r\n\"'`*_)"  # may follow its last words
_END = r"[.!?…。！？]+[\"'”’»)\]*_]*"
_ABBREVIATIONS = re.compile(r"(?i)\b(?:mr|mrs|ms|dr|prof|st|no|vs|etc|approx|e\.g|i\.e|a\.m|p\.m)\.(?=\s+\S)")
_BULLET = re.compile(r"^[ \t]*[-*+•–—‣·▪◦][ \t]+\S", re.MULTILINE)
_ITEM = re.compile(r"\n(?=[ \t]*(?:[-*+•–—‣·▪◦]|\d{1,3}[.)])[ \t])")
_FENCE = re.compile(r"\A```[A-Za-z0-9_+-]{0,20}[ \t]*\n(.*)\n?```\Z", re.DOTALL)
# digits that don't belong to a word ("CO2"), with what may stand between them
_DIGITS = re.compile(r"(?<![^\W_])(?<![\d.,])(?:\d(?:[\d.,'’\u00a0\u2009\u202f]*\d)?|\.\d+)(?:[eE][+-]?\d{1,2}\b)?")
_GROUPED = re.compile(r"\d{1,3}(?:([,'’\u00a0\u2009\u202f])\d{3}(?:\1\d{3})*)(?:\.\d+)?")
_THOUSANDS = re.compile(r"[,'’\u00a0\u2009\u202f]")
_PLAIN = re.compile(r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,2})?")
_SIGN = re.compile(r"(?:^|[^\w)\]])(?:[-−–][$€£¥₹]?|[$€£¥₹][-−–])$")


def right(item: Item, answer: str) -> bool:
    """Whether an answer holds every check of its item; an empty one never does.

    Raises:
        SuiteError: the item has no checks, so nothing says what is right.
    """
    if not item.checks:
        raise SuiteError(f"the item {item.id} has no checks", do="give it checks, or a scorer that needs none")
    return bool(answer.strip()) and all(holds(check, answer) for check in item.checks)


def holds(check: Check, answer: str) -> bool:
    """Whether an answer lives up to one check."""
    return len(answer) <= LONGEST and _HOLDS[check.kind](check, answer)


def check_problem(check: Check) -> str | None:
    """Why a check can't be judged; None if it can. A suite with such a check is refused when it is loaded."""
    needs, may = _FIELDS[check.kind]
    given = {name for name, empty in _EMPTY.items() if getattr(check, name) != empty}
    for name in sorted(given - needs - may):
        return f"a check of kind {check.kind} has no use for {name}"
    if needs == {"least", "most"}:
        if not given:
            return f"a check of kind {check.kind} says neither least nor most"
        if check.least is not None and check.most is not None and check.least > check.most:
            return f"a check of kind {check.kind} wants at least {check.least} and at most {check.most}"
        return None
    for name in sorted(needs - given):
        return f"a check of kind {check.kind} needs {name}"
    around = {"starts": _BEFORE, "ends": _AFTER}.get(check.kind, "")
    for text in check.texts:
        if not _plain(text).strip(around or None) or len(text) > LONGEST:
            return f"a check of kind {check.kind} has the text {text[:40]!r}, which no answer could be held against"
    patterns = [pattern for pattern in (check.pattern, *check.drop) if pattern]
    return next((problem for one in patterns if (problem := _pattern_problem(one)) is not None), None)


def _plain(text: str) -> str:
    """Case, white space, and the forms of quotes and apostrophes taken away."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold().split())


def _bare(text: str) -> str:
    """Plain, and without the punctuation around it; punctuation alone stays."""
    plain = _plain(text)
    return plain.strip(_AROUND) or plain


def _has(text: str, answer: str) -> bool:
    """Whether a text is in an answer as words of its own: "art" isn't in "party"."""
    plain = _plain(text)
    before = r"(?<!\w)" if _is_word(plain[0]) else ""
    after = r"(?!\w)" if _is_word(plain[-1]) else ""
    return re.search(before + re.escape(plain) + after, _plain(answer)) is not None


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _starts(text: str, answer: str) -> bool:
    text, answer = _plain(text).lstrip(_BEFORE), _plain(answer).lstrip(_BEFORE)
    return answer.startswith(text) and not (_is_word(text[-1]) and _is_word(answer[len(text) : len(text) + 1]))


def _ends(text: str, answer: str) -> bool:
    """The last words. Punctuation after them doesn't count unless the text itself ends with some."""
    text, answer = _plain(text).rstrip(_AFTER), _plain(answer).rstrip(_AFTER)
    if _is_word(text[-1]):
        answer = answer.rstrip(_AROUND)
    before = answer[: -len(text)]
    return answer.endswith(text) and not (_is_word(text[0]) and _is_word(before[-1:]))


def numbers(answer: str) -> list[float]:
    """The numbers of an answer, in order.

    Commas, apostrophes or narrow spaces may part thousands; the decimal mark is a point. Signs count, currency and
    percent signs don't. What reads as neither (a date, a version) is no number; "3,14" is 3 and 14, "3/4" 3 and 4.
    """
    found: list[float] = []
    for match in _DIGITS.finditer(answer):
        text = match.group()
        parts = [_THOUSANDS.sub("", text)] if _GROUPED.fullmatch(text) else text.split(",")
        if not all(_PLAIN.fullmatch(part) for part in parts):
            continue
        values = [float(part) for part in parts]
        if _SIGN.search(answer[max(0, match.start() - 4) : match.start()]):
            values[0] = -values[0]
        found += values
    return found


def _number(check: Check, answer: str) -> bool:
    found = numbers(answer)
    target = check.number if check.number is not None else math.nan
    slack = check.tolerance + 1e-12 * max(1.0, abs(target))  # 0.1 + 0.2 is 0.3
    return bool(found) and abs(found[-1] - target) <= slack


def words(answer: str) -> int:
    """Stretches between white space that have a letter or digit in them."""
    return sum(any(character.isalnum() for character in word) for word in answer.split())


def sentences(answer: str) -> int:
    """Parts that end with a full stop, question or exclamation mark, an empty line, or before a list's next item.

    A part without an end mark counts too; decimal points and common abbreviations end nothing.
    """
    text = _ABBREVIATIONS.sub(lambda match: match.group().replace(".", ""), answer.replace("\r\n", "\n"))
    text = re.sub(r"(?m)^[ \t]*\d{1,3}[.)][ \t]+", "", _ITEM.sub("\n\n", text))
    parts = re.split(rf"{_END}(?=\s|\Z)|\n[ \t]*\n", text)
    return sum(any(character.isalnum() for character in part) for part in parts)


def bullets(answer: str) -> int:
    """Lines that begin with a bullet; numbered lines aren't bullets."""
    return len(_BULLET.findall(answer.replace("\r\n", "\n")))


def lines(answer: str) -> int:
    """Lines that aren't empty."""
    return sum(bool(line.strip()) for line in answer.splitlines())


def _count(count: Callable[[str], int]) -> Callable[[Check, str], bool]:
    def within(check: Check, answer: str) -> bool:
        least = check.least if check.least is not None else 0
        return least <= count(answer) <= (check.most if check.most is not None else math.inf)

    return within


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key repeats")
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} isn't JSON")


def _json(check: Check, answer: str) -> bool:
    """One object or array (RFC 8259), in a code fence or not, and nothing around it."""
    text = answer.strip()
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    if check.texts:
        return isinstance(value, dict) and value.keys() == set(check.texts)
    return isinstance(value, dict | list)


def _refuses(_: Check, answer: str) -> bool:
    from tasks.lm.refusal import is_refusal

    return bool(answer.strip()) and is_refusal(answer)


def _answers(_: Check, answer: str) -> bool:
    from tasks.lm.refusal import is_refusal

    return bool(answer.strip()) and not is_refusal(answer)


_HOLDS: dict[str, Callable[[Check, str], bool]] = {
    "exact": lambda check, answer: _bare(answer) in {_bare(text) for text in check.texts},
    "number": _number,
    "regex": lambda check, answer: re.search(check.pattern, answer.strip()) is not None,
    "contains": lambda check, answer: all(_has(text, answer) for text in check.texts),
    "excludes": lambda check, answer: not any(_has(text, answer) for text in check.texts),
    "starts": lambda check, answer: any(_starts(text, answer) for text in check.texts),
    "ends": lambda check, answer: any(_ends(text, answer) for text in check.texts),
    "words": _count(words),
    "sentences": _count(sentences),
    "bullets": _count(bullets),
    "lines": _count(lines),
    "json": _json,
    "upper": lambda _, answer: answer.isupper(),
    "lower": lambda _, answer: answer.islower(),
    "refuses": _refuses,
    "answers": _answers,
    "extract": extracted,
}

_NONE: frozenset[str] = frozenset()
_TEXTS = (frozenset({"texts"}), _NONE)
_RANGE = (frozenset({"least", "most"}), _NONE)
_EMPTY = {
    "texts": (), "pattern": "", "number": None, "tolerance": 0.0, "least": None, "most": None,
    "pick": "first", "fold": (), "drop": (),
}  # fmt: skip
# kind -> (fields it needs, fields it may have); of least and most one is enough
_FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    **dict.fromkeys(("exact", "contains", "excludes", "starts", "ends"), _TEXTS),
    **dict.fromkeys(("words", "sentences", "bullets", "lines"), _RANGE),
    **dict.fromkeys(("upper", "lower", "refuses", "answers"), (_NONE, _NONE)),
    "number": (frozenset({"number"}), frozenset({"tolerance"})),
    "regex": (frozenset({"pattern"}), _NONE),
    "extract": (frozenset({"texts"}), frozenset({"pattern", "pick", "fold", "drop"})),
    "json": (_NONE, frozenset({"texts"})),
}


def _pattern_problem(pattern: str) -> str | None:
    """Why a pattern can't be used: it doesn't compile, or could take too long on the longest answer.

    ``re`` has no time limit, and one by the clock would make verdicts depend on the machine: so the steps are bounded
    from the pattern, as if every way to match were tried from every place.
    """
    try:
        parsed = sre_parser.parse(pattern)
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"the pattern {pattern!r} is invalid: {error}"
    anchored = len(parsed) and parsed[0] in ((sre.AT, sre.AT_BEGINNING_STRING), (sre.AT, sre.AT_BEGINNING))
    many = not anchored or (parsed[0][1] == sre.AT_BEGINNING and parsed.state.flags & re.MULTILINE)
    if _effort(parsed)[1] * (LONGEST if many else 1) > MOST_STEPS:
        return (
            f"the pattern {pattern!r} could take too long; make its repeats possessive (`*+`, `++`), give them "
            r"small limits (`{1,9}`), or begin with \A"
        )
    return None


def _effort(parsed: Any) -> tuple[float, float]:
    """Upper bounds for a part of a pattern: the ways it can match at one place, and the steps to try them all."""
    ways, steps = 1.0, 0.0
    for op, value in parsed:
        w, s = _effort_of(op, value)
        steps += ways * s
        ways *= w
    return ways, max(steps, 1.0)


def _effort_of(op: Any, value: Any) -> tuple[float, float]:
    if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, most = value[0], min(int(value[1]), LONGEST)
        w, s = _effort(value[2])
        all_ways = most - least + 1.0 if w <= 1 else (w ** (most + 1) if (most + 1) * math.log(w) < 99 else math.inf)
        return (1.0 if op is sre.POSSESSIVE_REPEAT else all_ways), s * max(most, all_ways)
    if op is sre.BRANCH:
        efforts = [_effort(one) for one in value[1]]
        return sum(w for w, _ in efforts), sum(s for _, s in efforts)
    if op is sre.SUBPATTERN:
        return _effort(value[3])
    if op in (sre.ATOMIC_GROUP, sre.ASSERT, sre.ASSERT_NOT):
        return 1.0, _effort(value if op is sre.ATOMIC_GROUP else value[1])[1]
    if op is sre.GROUPREF_EXISTS:
        efforts = [_effort(one) for one in value[1:] if one is not None]
        return sum(w for w, _ in efforts) + 1, sum(s for _, s in efforts)
    return 1.0, float(LONGEST) if op is sre.GROUPREF else 1.0
