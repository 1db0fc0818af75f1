"""Rows of token ids decoded together, greedily or with random numbers of each answer's own.

Prompts are taken by length, the longest first, several at a time; rows that end leave, and waiting prompts take their
place. Layers, masks and LM head are the model's own; only keys and values lie in tensors of ours (tasks/lm/cache.py).
"""

import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from tasks.lm.cache import Rows, layers_of, shortest_window
from tasks.lm.packed import causal_lm
from tasks.lm.shared_prefix import common_length

PREFILL = 1024  # tokens of prompts read at once, padding included
COMMON = 8  # tokens that all prompts begin with, from which on it pays to read them once
SLACK = 64  # columns beyond what a row can need, where rows follow each other: how seldom everything is moved

Done = Callable[[int, list[list[int]]], None]


@dataclass(frozen=True)
class How:
    """How answers are generated; ``tasks.lm.generate.generate`` says what each means."""

    max_tokens: int
    temperature: float
    seed: int
    samples: int
    done: Done


class _Row:
    """An answer that is being decoded.

    Its prompt begins at column ``first``; behind what it has in common with all others lie ``gap`` columns of padding.
    """

    def __init__(self, place: int, sample: int, first: int, gap: int, numbers: random.Random) -> None:
        self.place, self.sample, self.first, self.gap, self.numbers = place, sample, first, gap, numbers
        self.answer: list[int] = []


class Decoder:
    """Decodes prompts (token ids, none empty) with room for about ``tokens`` keys and values."""

    def __init__(self, model: Any, ids: list[list[int]], how: How, tokens: int) -> None:
        self.model, self.ids, self.how = causal_lm(model), ids, how
        self.device = next(model.parameters()).device
        self.ends = ends_of(model)
        takes = inspect.signature(self.model.forward).parameters
        self.takes_positions, self.takes_last_only = "position_ids" in takes, "logits_to_keep" in takes
        penalty = self.model.generation_config.repetition_penalty
        self.penalty = None if penalty in (None, 1) else RepetitionPenaltyLogitsProcessor(penalty=penalty)
        # taken from the end, the longest first: whoever joins later fits into the columns in use
        self.waiting = sorted(range(len(ids)), key=lambda place: (len(ids[place]), -place))
        width, rows = max(map(len, ids)) + how.max_tokens, len(ids) * how.samples
        room = min(rows, max(how.samples, tokens // width))
        layers = layers_of(self.model.config)
        assert layers is not None, "why_not_batched says so first"
        self.cache = Rows(layers, room, width + (SLACK if room < rows else 0))
        self.rows: list[_Row] = []
        self.answers: list[list[list[int]]] = [[[]] * how.samples for _ in ids]
        # a window that counts the padding behind the beginning would be shorter than the model's
        common = common_length(ids) if self.takes_positions and shortest_window(self.model.config) >= width else 0
        self.common = common if common >= COMMON and len(ids) > 1 else 0
        self.beginning = Rows(layers, 1, self.common) if self.common else None

    def run(self) -> list[list[list[int]]]:
        """The answers, for each prompt, for each sample."""
        if self.beginning is not None:
            self.beginning.admit(1, self.common)
            ids = [self.ids[0][: self.common]]
            self._forward(self.beginning, ids, torch.ones(1, self.common, dtype=torch.long, device=self.device))
        while self.waiting or self.rows:
            free = self.cache.room - len(self.rows)
            # not for a single row: a forward reads all weights, however few its tokens are
            if self.waiting and (not self.rows or free >= max(self.how.samples, self.cache.room // 8)):
                self._admit(free // self.how.samples)
            else:
                self._step()
        return self.answers

    def _admit(self, most: int) -> None:
        """Read waiting prompts, each once, and begin an answer a sample."""
        width = len(self.ids[self.waiting[-1]]) - self.common
        count = min(most, len(self.waiting), max(1, PREFILL // width))
        places = [self.waiting.pop() for _ in range(count)]
        start = self.cache.used
        first = self.cache.admit(count, width, self.beginning)
        gaps = [self.common + width - len(self.ids[place]) for place in places]
        for sample in range(self.how.samples):
            self.rows += [self._row(place, sample, first, gap) for place, gap in zip(places, gaps, strict=True)]
        ids = [[0] * gap + self.ids[place][self.common :] for place, gap in zip(places, gaps, strict=True)]
        logits = self._forward(self.cache, ids, self._seen(self.rows[start : start + count], first))
        for _ in range(1, self.how.samples):
            for number in range(count):
                self.cache.repeat(start + number)
        self._take(logits.repeat(self.how.samples, 1), start)

    def _row(self, place: int, sample: int, first: int, gap: int) -> _Row:
        if not self.common:  # then the row begins behind the padding
            first, gap = first + gap, 0
        return _Row(place, sample, first, gap, numbers_of(self.how.seed, sample, self.ids[place]))

    def _step(self) -> None:
        """One more token of every row."""
        moved = self.cache.step(min(row.first for row in self.rows))
        for row in self.rows:
            row.first -= moved
        seen = self._seen(self.rows, self.cache.begin)
        self._take(self._forward(self.cache, [row.answer[-1:] for row in self.rows], seen), 0)

    def _seen(self, rows: list[_Row], begin: int) -> torch.Tensor:
        """(rows, columns from ``begin``), where a row's tokens are: 1, and padding: 0."""
        first = torch.tensor([[row.first] for row in rows], device=self.device)
        gap = torch.tensor([[row.gap] for row in rows], device=self.device)
        place = torch.arange(begin, self.cache.end, device=self.device) - first
        return ((place >= 0) & ((place < self.common) | (place >= self.common + gap))).long()

    def _forward(self, cache: Rows, ids: list[list[int]], seen: torch.Tensor) -> torch.Tensor:
        """Logits (rows, words) behind the last column."""
        options: dict[str, Any] = {}
        if self.takes_positions:
            options["position_ids"] = (seen.cumsum(1) - 1).clamp_min(0)[:, -len(ids[0]) :]
        if self.takes_last_only:
            options["logits_to_keep"] = 1
        out = self.model(
            input_ids=torch.tensor(ids, device=self.device),
            attention_mask=seen,
            past_key_values=cache,
            use_cache=True,
            **options,
        )
        return out.logits[:, -1].float()

    def _take(self, logits: torch.Tensor, start: int) -> None:
        """The next token of the rows from ``start``; rows that end leave."""
        rows = self.rows[start:]
        if self.how.temperature > 0:
            found = draw(logits / self.how.temperature, [row.numbers.random() for row in rows])
        else:
            found = self._likeliest(logits, rows)
        for row, token in zip(rows, found, strict=True):
            row.answer.append(token)
        # from the last: the last row takes a leaving one's place
        for number in reversed(range(start, len(self.rows))):
            row = self.rows[number]
            if row.answer[-1] in self.ends or len(row.answer) == self.how.max_tokens:
                self._leave(number)

    def _likeliest(self, logits: torch.Tensor, rows: list[_Row]) -> list[int]:
        if self.penalty is not None:
            for number, row in enumerate(rows):
                so_far = torch.tensor([self.ids[row.place] + row.answer], device=self.device)
                logits[number] = self.penalty(so_far, logits[number, None])[0]  # pyright: ignore[reportArgumentType]
        return logits.argmax(-1).tolist()

    def _leave(self, number: int) -> None:
        row, last = self.rows[number], self.rows.pop()
        if last is not row:
            self.rows[number] = last
        self.cache.drop(number)
        answers = self.answers[row.place]
        answers[row.sample] = row.answer
        if all(answers):  # an answer has at least one token
            self.how.done(row.place, answers)


def draw(logits: torch.Tensor, numbers: Sequence[float]) -> list[int]:
    """A token a row of ``logits`` (rows, words), by inversion: where the cumulative probability passes the number.

    Args:
        numbers: a row's own number, in [0, 1).
    """
    sums = logits.softmax(-1).cumsum(-1, dtype=torch.float64)  # in float32 the tail's words would get lost
    where = torch.tensor(numbers, dtype=torch.float64, device=logits.device)[:, None] * sums[:, -1:]
    # the last word at most: the product may be rounded up to the whole sum
    return torch.searchsorted(sums, where, right=True).clamp_max_(logits.shape[-1] - 1)[:, 0].tolist()


def numbers_of(seed: int, sample: int, prompt: Sequence[int]) -> random.Random:
    """The random numbers of one answer."""
    return random.Random(repr((seed, sample, list(prompt))))


def ends_of(model: Any) -> set[int]:
    """The tokens that end an answer, from the model's generation config."""
    end = causal_lm(model).generation_config.eos_token_id
    return set() if end is None else set(end) if isinstance(end, list) else {end}
