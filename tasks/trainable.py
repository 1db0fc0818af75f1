"""Which lines of the training data a method trains on tonight: pairs or labels, all or a share of them.

A line is a pair (``chosen``, ``rejected``) or a label (``completion``, ``label``). A weak one has a ``weight`` below 1:
the chance that a night trains on it. One whose source has a ``topic`` says it. A unit is what counts as one
of ``phase.batch_size``: a pair, or two labels where the method is KTO, which takes a pair for two of them.
"""

import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

from tasks.phases import METHODS, Phase

Line = dict[str, Any]


def is_label(line: Line) -> bool:
    return "label" in line


def is_plain(line: bytes) -> bool:
    """Whether a line of JSON is a pair without a weight. It isn't parsed: there may be a million."""
    # JSON text holds no such bytes but as a key: inside a string its quotes are escaped
    return b'"label": ' not in line and b'"weight": ' not in line


def takes(method: str, line: Line) -> bool:
    """Whether a method learns from such a line: each from pairs, KTO from labels, SFT from those of good answers."""
    return not is_label(line) or METHODS[method].labels == "all" or (METHODS[method].labels == "good" and line["label"])


def drawn(line: Line, seed: int) -> bool:
    """Whether a weak line is trained on: by hash, so that the same seed gives the same lines."""
    weight = line.get("weight", 1.0)
    return weight >= 1 or random.Random(f"{seed} {line['id']}").random() < weight


def fitting(lines: Iterable[bytes], phase: Phase) -> Iterator[bytes]:
    """Lines of JSON of the phase's topic, without those that lack the truth which a reward compares answers with."""
    found = about(lines, phase.on)
    return (line for line in found if has_truth(line)) if phase.needs_truth else found


def about(lines: Iterable[bytes], topic: str | None) -> Iterator[bytes]:
    """Lines of JSON of a topic; all of them where it is None. They aren't parsed (``is_plain``)."""
    if topic is None:
        return iter(lines)
    # a truth may hold such a key, too, but its keys are in order: no "prompt" comes after it there
    said = f', "topic": "{topic}", "prompt": '.encode()
    return (line for line in lines if said in line)


def has_truth(line: bytes) -> bool:
    """Whether a line of JSON has a truth; it isn't parsed (``is_plain``)."""
    return b'"truth": ' in line


def trainable(lines: Iterable[Line], method: str, seed: int) -> list[Line]:
    """The lines that this method trains on with this seed."""
    return [line for line in lines if takes(method, line) and drawn(line, seed)]


def count_unfit(lines: Iterable[bytes], method: str) -> int:
    """How many labels among lines of JSON the method learns nothing from."""
    return sum(not takes(method, json.loads(line)) for line in lines if b'"label": ' in line)


def count_units(lines: Iterable[bytes], method: str, seed: int) -> int:
    """How many units lines of JSON hold."""
    pairs, others = 0, []
    for line in lines:
        if not is_plain(line):
            others.append(json.loads(line))
        elif line.strip():
            pairs += 1
    kept = trainable(others, method, seed)
    labels = sum(map(is_label, kept))
    return pairs + len(kept) - labels + (labels // 2 if METHODS[method].labels == "all" else labels)
