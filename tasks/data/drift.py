"""How tonight's data differs from the last accepted snapshot's, or from what is asked in service.

Counts against counts, of four marginals: source mix, length, topic, language; by the population stability index (PSI,
the sum over bins of (p − q)·ln(p/q)) and Jensen–Shannon divergence (Lin 1991, IEEE Trans. Inf. Theory 37:145).

PSI's usual reading is Siddiqi's (2006, Credit Risk Scorecards): below 0.1 nothing to speak of, up to 0.25 some, above
it a large shift. Between samples of one population it is near (1/n + 1/m)·χ² with bins − 1 degrees of freedom (Yurdakul
2018, Statistical Properties of Population Stability Index), so a small sample drifts by chance alone: a shift counts
only where it is above that distribution's 99th percentile too.
"""

import functools
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy.special import chdtri

from infra.digest import Record
from tasks.data.arrow import compute as pc
from tasks.data.style import chosen_rows, language_of

SOME, LARGE = 0.1, 0.25
_CHANCE = 0.99
_PRIOR = 0.5  # added to every bin (Jeffreys): an empty one has no logarithm
TOPICS = 64
_LANGUAGES = 600  # prompts: the classifier takes half a millisecond each
_SOURCES = 32

_WORD = re.compile(r"[^\W\d_]{4,24}")

Counts = tuple[tuple[str, int], ...]
Level = Literal["none", "some", "large", "too few rows"]


class Marginals(Record):
    """Counts of one set of rows: a few kilobytes, kept with an accepted snapshot. What was not there has no counts.

    ``length``: of the prompt, in characters, by powers of two. ``topic``: see ``topic_of``. ``language``: of a sample.
    """

    rows: int = Field(ge=0)
    source: Counts = ()
    length: Counts = ()
    topic: Counts = ()
    language: Counts = ()


class DriftFigure(Record):
    """One marginal, now against before.

    Attributes:
        psi: population stability index, with half a row added to every bin; 0 where nothing differs.
        js: Jensen–Shannon divergence of the bare shares, in bits: 0 to 1.
        chance: the PSI that equal populations of these sizes stay below in 99 of 100 cases.
        moved: the bins whose share changed most: name, share before, share now.
    """

    name: str
    psi: float
    js: float
    chance: float
    level: Level
    n_now: int
    n_before: int
    moved: tuple[tuple[str, float, float], ...]
    says: str


def marginals(rows: pa.Table, seed: int = 0) -> Marginals:
    """Count a snapshot's rows, or a table of served prompts.

    Args:
        rows: with ``prompt_text`` and, where known, ``source``; empty prompts count for nothing.
    """
    there = pc.fill_null(pc.match_substring_regex(rows["prompt_text"], r"\S"), False)
    asked = rows.filter(there)
    prompts = asked["prompt_text"].to_pylist()
    some = asked["prompt_text"].take(pa.array(chosen_rows(asked, _LANGUAGES, seed))).to_pylist()
    sources = rows["source"].to_pylist() if "source" in rows.column_names else []
    return Marginals(
        rows=rows.num_rows,
        source=_counts(map(source_of, filter(None, sources)), at_most=_SOURCES),
        length=_counts(length_bin(text) for text in prompts),
        topic=_counts(topic for text in prompts if (topic := topic_of(text))),
        language=_counts(found for text in some if (found := language_of(text))),
    )


def source_of(name: str) -> str:
    """A source without its dates and numbers: ``logs/2026-11-20.jsonl`` and tomorrow's are one source."""
    return re.sub(r"\d+(?:[-_.T]\d+)*", "#", name)


def length_bin(text: str) -> str:
    """``64–127`` characters and the like."""
    low = 1 << (max(1, len(text)).bit_length() - 1)
    return f"{low}–{2 * low - 1}"


@functools.lru_cache(1 << 15)
def topic_of(prompt: str) -> str | None:
    """One of 64 clusters of words, by the prompt's longest word (of equals the first by alphabet); None: no word.

    The longest word is nearly always one of content. A cluster holds unrelated words: that the mix of clusters moved
    says that people ask about other things, not which. One draw a prompt keeps the counts independent, as PSI's
    distribution asks.
    """
    words = _WORD.findall(prompt[:2000].lower())
    if not words:
        return None
    word = min(words, key=lambda one: (-len(one), one))
    return f"{zlib.crc32(word.encode()) % TOPICS:02d}"


def _counts(names: Iterable[str], at_most: int | None = None) -> Counts:
    counted = Counter(names)
    if at_most and len(counted) > at_most:
        kept = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[: at_most - 1]
        counted = Counter(dict(kept) | {"others": counted.total() - sum(count for _, count in kept)})
    return tuple(sorted(counted.items()))


# ---- now against before ----------------------------------------------------------------------------------------------


def drift(now: Marginals, before: Marginals) -> tuple[DriftFigure, ...]:
    """One figure a marginal that both have counts of: source, length, topic, language."""
    pairs = [(name, dict(getattr(now, name)), dict(getattr(before, name))) for name in _CALLED]
    return tuple(_figure(name, new, old) for name, new, old in pairs if new and old)


_CALLED = {
    "source": "the mix of sources",
    "length": "the length of prompts",
    "topic": "what prompts are about",
    "language": "the mix of languages",
}


def _figure(name: str, now: dict[str, int], before: dict[str, int]) -> DriftFigure:
    bins = sorted({*now, *before})
    new, old = (np.array([counts.get(one, 0) for one in bins], float) for counts in (now, before))
    index, chance = psi(new, old), by_chance(new, old)
    level = level_of(index, chance)
    shares = zip(bins, old / old.sum(), new / new.sum(), strict=True)
    moved = sorted(
        ((one, float(a), float(b)) for one, a, b in shares), key=lambda item: (-abs(item[2] - item[1]), item[0])
    )
    return DriftFigure(
        name=name,
        psi=index,
        js=jensen_shannon(new, old),
        chance=chance,
        level=level,
        n_now=int(new.sum()),
        n_before=int(old.sum()),
        moved=tuple(moved[:3]),
        says=_said(name, level, index, chance, moved[:3]),
    )


def psi(now: np.ndarray, before: np.ndarray) -> float:
    """Population stability index of two arrays of counts over the same bins."""
    p, q = ((counts + _PRIOR) / (counts.sum() + _PRIOR * len(counts)) for counts in (now, before))
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(now: np.ndarray, before: np.ndarray) -> float:
    """Jensen–Shannon divergence of two arrays of counts over the same bins, in bits: 0 (equal) to 1 (disjoint)."""
    p, q = now / now.sum(), before / before.sum()
    middle = (p + q) / 2

    def to_middle(part: np.ndarray) -> float:
        there = part > 0
        return float((part[there] * np.log2(part[there] / middle[there])).sum())

    return min(1.0, max(0.0, (to_middle(p) + to_middle(q)) / 2))


def by_chance(now: np.ndarray, before: np.ndarray) -> float:
    """The 99th percentile of PSI where both are samples of one population; 0 with one bin."""
    used = int(((now + before) > 0).sum())
    if used < 2:
        return 0.0
    return float(chdtri(used - 1, 1 - _CHANCE)) * (1 / float(now.sum()) + 1 / float(before.sum()))


def level_of(index: float, chance: float) -> Level:
    """Siddiqi's reading, of what chance does not explain. Where chance alone reaches a large shift, nothing is said."""
    if index > LARGE and index > chance:
        return "large"
    if chance > LARGE:
        return "too few rows"
    return "some" if index > SOME and index > chance else "none"


def _said(name: str, level: Level, index: float, chance: float, moved: Sequence[tuple[str, float, float]]) -> str:
    told = f"{_CALLED[name]}: PSI {index:.3f} (by chance up to {chance:.3f})"
    if level == "too few rows":
        return f"{told}; too few rows to tell a shift from chance."
    if level == "none":
        return f"{told}; no shift to speak of."
    if name == "topic":  # a cluster's number tells nobody anything
        return f"{told}; a {'large shift' if level == 'large' else 'shift'}."
    changes = ", ".join(f"{one} {100 * old:.0f} % → {100 * new:.0f} %" for one, old, new in moved)
    return f"{told}; a {'large shift' if level == 'large' else 'shift'}: {changes}."
