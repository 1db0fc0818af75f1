"""How chosen answers differ from rejected ones beside being better: what DPO learns with the preference, or instead.

Each figure has a 95 % interval and says what it does to a run. A figure warns where the whole interval lies past a
bound, so a small sample does not.
"""

import functools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from infra.digest import Record
from infra.number_words import signed
from tasks.data.intervals import Interval, mean, paired_difference, share
from tasks.lm import language
from tasks.lm.refusal import is_refusal

AT_MOST = 2000  # pairs: a share's interval is then ± 2.2 points at most
_LANGUAGES = 600  # the classifier takes half a millisecond a text

# the smallest effects that are worth a warning: a tenth of length, five points of a share
_RATIO, _POINTS, _HALF = 1.1, 0.05, 0.05

LIST = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
BOLD = re.compile(r"(?<!\w)(?:\*\*|__)\S(?:[^\n]{0,300}?\S)?(?:\*\*|__)(?!\w)")
HEADING = re.compile(r"^#{1,6}[ \t]+\S", re.MULTILINE)
# praise of the question or agreement before anything is said (Sharma et al. 2023, arXiv:2310.13548)
SYCOPHANTIC = re.compile(
    r"(?i)\W*(?:(?:oh|wow|ah|yes|ja|oui|sí|sì|sim)\W+)?(?:(?:that(?:'s|’s| is)|what) (?:a |an |such a )?)?"
    r"(?:really |truly |very )?"
    r"(?:(?:great|good|excellent|fantastic|wonderful|brilliant|amazing|insightful|thoughtful|interesting|fascinating)"
    r" (?:question|point|idea|observation|thought|insight)\b"
    r"|you(?:'re|’re| are) (?:so |absolutely |completely |totally |quite |100 ?% )*right\b"
    r"|i (?:completely|totally|absolutely|fully|wholeheartedly|couldn['’]t) agree\b"
    r"|(?:sehr |wirklich |eine )*(?:gute|tolle|hervorragende|ausgezeichnete|spannende) (?:frage|idee)\b"
    r"|(?:sie haben|du hast) (?:völlig|absolut|vollkommen|ganz) recht\b"
    r"|(?:c['’]est une )?(?:excellente|très bonne|bonne) (?:question|idée)\b"
    r"|(?:vous avez|tu as) (?:tout à fait|entièrement) raison\b"
    r"|(?:¡?qué )?(?:excelente|buena|gran) (?:pregunta|idea)\b|(?:tienes|tiene) toda la razón\b"
    r"|(?:ottima|bella|eccellente) (?:domanda|idea)\b|(?:hai|ha) (?:perfettamente|assolutamente) ragione\b"
    r"|(?:ótima|excelente|boa) (?:pergunta|ideia)\b|você tem toda a razão\b)"
)


class BiasFigure(Record):
    """One way in which chosen and rejected differ.

    ``value`` and its interval are of ``measure``; ``neutral`` is its value where nothing differs; ``n`` counts pairs.
    """

    name: str
    measure: Literal["ratio", "share", "difference of shares"]
    value: float
    lower: float
    upper: float
    neutral: float
    n: int
    warns: bool
    says: str


def bias(pairs: pa.Table, at_most: int = AT_MOST, seed: int = 0) -> tuple[BiasFigure, ...]:
    """Measure the pairs that passed, or a sample of them that is the same each time.

    Args:
        pairs: with ``chosen_text``, ``rejected_text`` and, where known, ``chosen_model``, ``rejected_model``.
        at_most: pairs that are looked at.

    Returns:
        length, longer, lists, bold, headings, refusals, sycophancy, languages, and models where both are known of some.
        None at all without pairs.
    """
    sample = _sample(pairs, at_most, seed)
    chosen, rejected = sample["chosen_text"].to_pylist(), sample["rejected_text"].to_pylist()
    if not chosen:
        return ()
    figures = [*_length(chosen, rejected)]
    figures += [_shares(name, test, chosen, rejected) for name, test in _TESTS.items()]
    step = -(-len(chosen) // _LANGUAGES)  # some of the whole sample, not its beginning
    figures += _languages(chosen[::step], rejected[::step])
    figures += _models(sample)
    return tuple(figures)


def _sample(pairs: pa.Table, at_most: int, seed: int) -> pa.Table:
    return pairs.take(pa.array(chosen_rows(pairs, at_most, seed)))


def chosen_rows(rows: pa.Table, at_most: int, seed: int) -> np.ndarray:
    """Places of a sample, in order.

    Args:
        rows: where they have ``drawn``, a random number each, the lowest are taken: less some rows that turn out to
            leave it is nearly the same sample.
    """
    if rows.num_rows <= at_most:
        return np.arange(rows.num_rows)
    if "drawn" in rows.column_names:
        return np.sort(np.argsort(rows["drawn"].to_numpy(), kind="stable")[:at_most])
    return np.sort(np.random.default_rng(seed).choice(rows.num_rows, at_most, replace=False))


# ---- what differs ----------------------------------------------------------------------------------------------------


def _length(chosen: Sequence[str], rejected: Sequence[str]) -> list[BiasFigure]:
    sizes = [(len(one), len(other)) for one, other in zip(chosen, rejected, strict=True)]
    logs = mean([math.log(one / other) for one, other in sizes if one and other] or [0.0])
    ratio = Interval(*(math.exp(min(700.0, bound)) for bound in logs))
    uneven = [one > other for one, other in sizes if one != other]
    figures = [_figure("length", "ratio", ratio, 1.0, len(sizes), ratio.lower > _RATIO or ratio.upper < 1 / _RATIO)]
    if uneven:
        longer = share(sum(uneven), len(uneven))
        warns = longer.lower > 0.5 + _HALF or longer.upper < 0.5 - _HALF
        figures.append(_figure("longer", "share", longer, 0.5, len(uneven), warns))
    return figures


# some tenths of a millisecond each: of the same text it is asked once
_refuses = functools.lru_cache(4 * AT_MOST)(is_refusal)
language_of = functools.lru_cache(4 * AT_MOST)(language.language_of)

_TESTS: dict[str, Callable[[str], bool]] = {
    "lists": lambda text: LIST.search(text) is not None,
    "bold": lambda text: BOLD.search(text) is not None,
    "headings": lambda text: HEADING.search(text) is not None,
    "refusals": _refuses,
    "sycophancy": lambda text: SYCOPHANTIC.match(text) is not None,
}


def _shares(name: str, test: Callable[[str], bool], chosen: Sequence[str], rejected: Sequence[str]) -> BiasFigure:
    delta = paired_difference([test(text) for text in chosen], [test(text) for text in rejected])
    warns = delta.lower > _POINTS or delta.upper < -_POINTS
    return _figure(name, "difference of shares", delta, 0.0, len(chosen), warns)


def _languages(chosen: Sequence[str], rejected: Sequence[str]) -> list[BiasFigure]:
    told = [(language_of(one), language_of(other)) for one, other in zip(chosen, rejected, strict=True)]
    return _differing("languages", [(one, other) for one, other in told if one and other])


def _models(sample: pa.Table) -> list[BiasFigure]:
    if not {"chosen_model", "rejected_model"} <= set(sample.column_names):
        return []
    told = zip(sample["chosen_model"].to_pylist(), sample["rejected_model"].to_pylist(), strict=True)
    return _differing("models", [(one, other) for one, other in told if one and other])


def _differing(name: str, pairs: Sequence[tuple[str, str]]) -> list[BiasFigure]:
    if not pairs:
        return []
    apart = share(sum(one != other for one, other in pairs), len(pairs))
    return [_figure(name, "share", apart, 0.0, len(pairs), apart.lower > _POINTS)]


# ---- what it does to a run -------------------------------------------------------------------------------------------

# by name: what more of it in chosen does, what less of it does, and what helps
_EFFECTS: dict[str, tuple[str, str, str]] = {
    # Park et al. 2024 (arXiv:2403.19159), Singhal et al. 2023 (arXiv:2310.03716)
    "length": (
        "DPO raises length itself, also where it is no better: expect longer answers",
        "DPO raises brevity itself: expect answers that break off early",
        "add pairs whose longer answer was rejected, or take what divides by length (`sigmoid_norm`, `simpo`)",
    ),
    # Zhang et al. 2024 (arXiv:2409.11704)
    "format": (
        "DPO learns the form faster than the content: expect {what} everywhere, also where a sentence would do",
        "DPO learns to avoid the form: expect {what} to vanish, also where they help",
        "balance the form between chosen and rejected",
    ),
    # Röttger et al. 2023 (arXiv:2308.01263)
    "refusals": (
        "the model learns to refuse: expect refusals of harmless questions too",
        "the model learns to comply: expect answers to what should be refused",
        "add pairs that teach the other side, and watch the suites `safety` and `drift`",
    ),
    "sycophancy": (
        "the model learns to flatter and to agree, right or wrong",
        "the model learns to leave praise out, which seldom does harm",
        "take the openers out of chosen answers, or reject answers that differ by them alone",
    ),
    "models": (
        "chosen and rejected can be told apart by who wrote them: DPO learns one model's manner, not the preference",
        "",
        "pair answers of one model, best of the champion itself",
    ),
    "languages": (
        "DPO learns to prefer a language: expect answers in another language than the question's",
        "",
        "take pairs out whose answers are in two languages",
    ),
}
_LIKE = {"longer": "length", "lists": "format", "bold": "format", "headings": "format"}
_CALLED = {
    "lists": "lists",
    "bold": "bold words",
    "headings": "headings",
    "refusals": "refusals",
    "sycophancy": "flattering openers",
}


def _figure(name: str, measure: Any, interval: Interval, neutral: float, n: int, warns: bool) -> BiasFigure:
    more, less, help_ = _EFFECTS[
        {"longer": "length", "lists": "format", "bold": "format", "headings": "format"}.get(name, name)
    ]
    effect = (more if interval.value >= neutral else less).format(what=_CALLED.get(name, ""))
    told = _told(name, interval)
    says = f"{told[0].upper()}{told[1:]}; n = {n}."
    if warns:
        says += f" {effect[0].upper()}{effect[1:]}; {help_}."
    return BiasFigure(name=name, measure=measure, neutral=neutral, n=n, warns=warns, says=says, **_finite(interval))


def _told(name: str, i: Interval) -> str:
    if name == "length":
        return f"chosen answers are {i.value:.2f} times as long as rejected ones (95 %: {i.lower:.2f} to {i.upper:.2f})"
    percent = f"{100 * i.value:.1f} % (95 %: {100 * i.lower:.1f} to {100 * i.upper:.1f})"
    if name == "longer":
        return f"the chosen answer is the longer one in {percent} of pairs that differ in length"
    if name in {"models", "languages"}:
        return f"chosen and rejected are of different {name} in {percent} of pairs where both are known"
    value, lower, upper = (signed(100 * one, 1) for one in i)
    points = f"{value} points (95 %: {lower} to {upper})"
    return f"{_CALLED[name]} in chosen against rejected answers: {points}"


def _finite(interval: Interval) -> dict[str, float]:
    """A record holds no infinity: of one pair alone the interval is as wide as a number can be."""
    wide = 1e300
    return {name: min(wide, max(-wide, bound)) for name, bound in zip(interval._fields, interval, strict=True)}
