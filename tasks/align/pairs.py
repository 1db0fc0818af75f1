"""Which pairs a phase trains on: as many as its steps take, in an order the seed decides; none that can't be."""

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tasks.align.labels import conversations_of, units_of
from tasks.errors import ModelError
from tasks.phases import METHODS, Phase
from tasks.trainable import is_plain, trainable

Lines = Callable[[], Iterable[bytes]]

# rows of a training on its own answers that it isn't trained on; no setting, so that looks change no training's course
HELD_OUT = 32


class Replay(NamedTuple):
    """How much of a night's pairs are some that an earlier model was trained on.

    Attributes:
        earlier: their lines.
        share: of all of tonight's pairs. Where there are fewer earlier or new ones, the others fill the rest.
    """

    earlier: Lines
    share: float


def choose(
    lines: Lines,
    count: int,
    seed: int,
    left_out: frozenset[str] = frozenset(),
    method: str = "dpo",
    replay: Replay | None = None,
) -> list[dict[str, Any]]:
    """``count`` distinct units (fewer where there are fewer): of all that the method trains on, and none of
    ``left_out`` (ids).

    The lines are gone through twice, and of plain pairs only what is chosen is held: there may be millions.
    """
    known = {_short(line) for line in replay.earlier()} if replay else set[bytes]()
    new: list[int] = []
    old: list[int] = []
    others: list[dict[str, Any]] = []  # labels and weak pairs
    for number, line in enumerate(lines()):
        if left_out and json.loads(line)["id"] in left_out:
            continue
        if not is_plain(line):
            others.append(json.loads(line))
        else:
            (old if _short(line) in known else new).append(number)
    units = units_of(trainable(others, method, seed), method)
    new += [-1 - number for number in range(len(units))]
    picked = _pick(new, old, count, seed, replay.share if replay else 0.0)
    wanted = set(picked)
    found = {number: json.loads(line) for number, line in enumerate(lines()) if number in wanted}
    return [found[number] if number >= 0 else units[-1 - number] for number in picked]


def _pick(new: list[int], old: list[int], count: int, seed: int, share: float) -> list[int]:
    pick = random.Random(seed)
    if not old:
        return pick.sample(new, min(count, len(new)))
    again = min(len(old), max(round(count * share), count - len(new)))
    found = pick.sample(new, min(count - again, len(new))) + pick.sample(old, again)
    pick.shuffle(found)
    return found


def _short(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=8).digest()


def set_apart(pairs: list[dict[str, Any]], phase: Phase) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is trained on, and, of a method that learns from rewards, what it is watched on: the last ``HELD_OUT`` rows,
    or a fifth where there are few."""
    count = min(HELD_OUT, len(pairs) // 5) if METHODS[phase.method].online else 0
    return (pairs[:-count], pairs[-count:]) if count else (pairs, [])


def whole_steps(asked: int, count: int, phase: Phase, quarantine: Path) -> int:
    """Steps that ``count`` pairs fill, at most as many as asked.

    Raises:
        ModelError: not even one, once those in quarantine are left out.
    """
    steps = min(asked, phase.steps_of(count))
    if steps < 1:
        raise ModelError(
            f"{count} training pairs are left beside those in quarantine, fewer than one batch of {phase.batch_size} "
            "(phase.batch_size)",
            do=f"bring more pairs, lower phase.batch_size, or take lines out of {quarantine}",
        )
    return steps


def refuse_too_few(count: int, steps: int, phase: Phase) -> None:
    """Fewer pairs than the steps take would be gone through twice; TRL takes no step for three times all pairs.

    Raises:
        ModelError: there are too few, or no step at all.
    """
    if steps < 1 or count < phase.rows_of(steps):
        raise ModelError(
            f"{count} training pairs for {steps} step(s) of {phase.batch_size} (phase.batch_size)",
            do="bring more pairs, or lower phase.batch_size or phase.max_steps",
        )


def pair_tokens(tokenizer: Any, pair: dict[str, Any]) -> int:
    """Tokens of the longest of a pair's conversations, the chat template's among them."""
    all_of_it = conversations_of(pair)
    return max(map(len, tokenizer.apply_chat_template(all_of_it, tokenize=True, return_dict=True)["input_ids"]))


def refuse_too_long(pairs: list[dict[str, Any]], tokenizer: Any, context: int | None) -> None:
    """A model reads no further than its context, or reads nonsense there.

    Raises:
        ModelError: a pair is longer; the message names the longest.
    """
    if context is None:  # the model knows no bound
        return
    lengths = [pair_tokens(tokenizer, pair) for pair in pairs]
    longer = sum(length > context for length in lengths)
    if longer:
        most = max(lengths)
        raise ModelError(
            f"the pair {pairs[lengths.index(most)]['id']} has {most} tokens with the chat template, the model's "
            f"context (max_position_embeddings) is {context}; {longer} of {len(pairs)} pairs are longer than it",
            do="lower data.max_prompt_tokens or data.max_answer_tokens, or take a model with a longer context",
        )
