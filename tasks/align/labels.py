"""Labels on their way through a training that counts in pairs.

A unit is a pair, two labels (``{"id", "labels": […]}``), or to SFT an answer alone (``{"id", "prompt", "chosen"}``).
"""

import json
from collections.abc import Iterable
from typing import Any

from tasks.errors import ModelError
from tasks.phases import METHODS, Phase
from tasks.trainable import Line, is_label

Unit = dict[str, Any]


def units_of(lines: list[Line], method: str) -> list[Unit]:
    """Units of lines that the method takes; an odd label is left over.

    The two labels of a unit are of different prompts, unless more than half of all are of one: TRL estimates KTO's
    divergence from answers to other prompts, which it finds beside each.
    """
    pairs = [{name: line[name] for name in line if name != "weight"} for line in lines if not is_label(line)]
    labels = [line for line in lines if is_label(line)]
    if METHODS[method].labels == "good":
        return pairs + [{"id": one["id"], "prompt": one["prompt"], "chosen": one["completion"]} for one in labels]
    by_prompt = sorted(labels, key=lambda one: (str(one["prompt"]), one["id"]))
    half = len(labels) // 2
    twos = zip(by_prompt[:half], by_prompt[half : 2 * half], strict=True)
    return pairs + [{"id": f"{one['id']} {other['id']}", "labels": [one, other]} for one, other in twos]


def labels_of(unit: Unit) -> list[Unit]:
    """The two labels of a unit, as TRL's unpaired rows; of a pair the chosen answer's first."""
    found = unit.get("labels") or [
        {"prompt": unit["prompt"], "completion": unit[side], "label": side == "chosen"}
        for side in ("chosen", "rejected")
    ]
    return [{name: one[name] for name in ("prompt", "completion", "label")} for one in found]


def conversations_of(unit: Unit) -> list[list[dict[str, str]]]:
    """All that a unit gives the model to read: prompt and answer of each of its answers."""
    if "labels" in unit:
        return [[*one["prompt"], *one["completion"]] for one in unit["labels"]]
    return [[*unit["prompt"], *unit[side]] for side in ("chosen", "rejected") if side in unit]


def prompt_of(unit: Unit) -> list[dict[str, str]]:
    """A prompt of the unit."""
    return unit["labels"][0]["prompt"] if "labels" in unit else unit["prompt"]


def said_of_labels(train: Iterable[bytes], units: list[Unit], phase: Phase) -> str | None:
    """What a person should know of the training data's labels; None where there are none, or all is well.

    Raises:
        ModelError: the method can't learn from them, and without them there is not one batch.
    """
    found = (json.loads(line) for line in train if b'"label": ' in line)
    labels = [line["label"] for line in found if is_label(line)]  # a truth may hold such a key, too
    if not labels:
        return None
    takes = METHODS[phase.method].labels
    if takes == "all":
        return None if len(set(labels)) == 2 or any("labels" not in unit for unit in units) else _one_sided(labels)
    unfit = len(labels) if takes == "none" else labels.count(False)
    which = "labels" if takes == "none" else "labels of bad answers"
    if unfit and len(units) < phase.batch_size:
        raise ModelError(
            f"method {phase.method!r} learns nothing from {which}, and {unfit} of the training rows are such; "
            f"{len(units)} others are fewer than one batch of {phase.batch_size} (phase.batch_size)",
            do='set phase.method = "kto", which learns from labels, or bring pairs',
        )
    return f"{unfit} {which} are left out: method {phase.method} learns nothing from them" if unfit else None


def _one_sided(labels: list[bool]) -> str:
    return (
        f"all {len(labels)} labels are {'good' if labels[0] else 'bad'}: KTO weighs good answers against bad ones, "
        "and with one kind alone it only makes answers more likely or less likely"
    )
