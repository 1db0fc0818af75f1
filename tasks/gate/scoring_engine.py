"""An engine as scorers see it: conversations in, numbers and token ids out. Loads the artefact that serves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.contracts import Engine
from tasks.errors import ModelError
from tasks.gate.scorers import conversation
from tasks.gate.suites import Item, Scorer, Suite
from tasks.lm import parity, words
from tasks.lm.choices import ChoiceItem, choice_logprobs, tokenize_item
from tasks.lm.generate import generate, prompt_ids
from tasks.lm.loading import best_device, load_model, load_tokenizer
from tasks.lm.packed import switch
from tasks.lm.quantise import put_through
from tasks.lm.raw import cut_at, longest_of, tokenize_prompt, tokenize_raw
from tasks.lm.vllm_decoder import VllmDecoder

PROBE_ITEMS = 16


class LocalScoring:
    """Ours: the packed forward where the model allows it, else the model's own.

    ``parity``: how far the merged model is from base and adapter; None without an adapter.
    """

    def __init__(self, model: Any, tokenizer: Any, tokens: int) -> None:
        self.model, self.tokenizer, self._limit = model, tokenizer, tokens
        self.parity: parity.Parity | None = None
        self._known: dict[str, tuple[ChoiceItem, ...]] = {}

    def choice_logprobs(self, items: Sequence[Item], scorer: Scorer) -> list[list[tuple[float, int]]]:
        rows = [self._rows(item, scorer) for item in items]
        found = iter(choice_logprobs(self.model, [row for parts in rows for row in parts]))
        return [[(float(choice.sum()), len(choice)) for _ in parts for choice in next(found)] for parts in rows]

    def tokens(self, item: Item, scorer: Scorer) -> int:
        """Packed tokens of a choice item."""
        return sum(row.length for row in self._rows(item, scorer))

    def _rows(self, item: Item, scorer: Scorer) -> tuple[ChoiceItem, ...]:
        """An item as token ids: one document, or one a choice where a plain prompt had to be cut for each."""
        key = f"{scorer.digest} {item.digest}"
        if key not in self._known:
            self._known[key] = self._tokenized(item, scorer)
        return self._known[key]

    def _tokenized(self, item: Item, scorer: Scorer) -> tuple[ChoiceItem, ...]:
        if scorer.template == "chat":
            return (tokenize_item(self.tokenizer, conversation(item), item.choices),)
        choices = [scorer.delimiter + choice for choice in item.choices]
        return tokenize_raw(self.tokenizer, item.messages[-1].content, choices, self._longest)

    @property
    def _longest(self) -> int:
        return longest_of(self.model.config, self.tokenizer)

    def generate(self, items: Sequence[Item], scorer: Scorer) -> list[list[list[int]]]:
        prompts = [self._prompt(item, scorer) for item in items]
        return self._drawn(prompts, scorer.max_tokens, samples=scorer.samples, temperature=scorer.temperature)

    def _drawn(self, prompts: list[list[int]], max_tokens: int, **how: Any) -> list[list[list[int]]]:
        return generate(self.model, None, prompts, max_tokens, **how)

    def close(self) -> None:
        """Give back what isn't Python's to give back."""

    def _prompt(self, item: Item, scorer: Scorer) -> list[int]:
        if scorer.template == "chat":
            return prompt_ids(self.tokenizer, conversation(item))
        context = item.messages[-1].content
        return list(tokenize_prompt(self.tokenizer, context, scorer.max_tokens, self._longest))

    def answer(self, tokens: Sequence[int], scorer: Scorer) -> str:
        """An answer's text, up to the first of the scorer's stops; behind a plain prompt it keeps its white space."""
        text = cut_at(self.tokenizer.decode(list(tokens), skip_special_tokens=True), scorer.stop)
        return text.strip() if scorer.template == "chat" else text

    def likeliest(
        self, items: Sequence[Item], answers: Sequence[Sequence[int]], count: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        found = words.likeliest(self.model, self._answered(items, answers), count)
        return [(ids.numpy(), logprobs.numpy()) for ids, logprobs in found]

    def logprobs_at(
        self, items: Sequence[Item], answers: Sequence[Sequence[int]], ids: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        asked = [torch.from_numpy(np.asarray(one, np.int64)) for one in ids]
        return [one.numpy() for one in words.logprobs_at(self.model, self._answered(items, answers), asked)]

    def _answered(
        self, items: Sequence[Item], answers: Sequence[Sequence[int]]
    ) -> list[tuple[Sequence[int], Sequence[int]]]:
        return [
            (prompt_ids(self.tokenizer, conversation(item)), answer)
            for item, answer in zip(items, answers, strict=True)
        ]


class VllmScoring(LocalScoring):
    """Answers by vLLM. Log-probabilities of given words stay ours: vLLM has those of a whole prompt only, and reads it
    anew for every choice."""

    def __init__(self, folder: Path, scoring: LocalScoring, longest: int) -> None:
        super().__init__(scoring.model, scoring.tokenizer, scoring._limit)
        self.parity = scoring.parity
        self._vllm = VllmDecoder(folder, scoring.model, longest)

    def _drawn(self, prompts: list[list[int]], max_tokens: int, **how: Any) -> list[list[list[int]]]:
        return self._vllm.generate(prompts, max_tokens, **how)

    def close(self) -> None:
        self._vllm.close()


def open_engine(
    spec: dict[str, Any], settings: Engine, suites: dict[str, Suite], sampled: int, on_log: Callable[[str], None]
) -> LocalScoring:
    """Load a model as it serves: merged, the merge checked against base and adapter, and quantised where asked for.

    Args:
        spec: ``base`` and ``adapter``, folders.
        sampled: most tokens of an answer that is drawn for people to read.

    Raises:
        ModelError: the model is damaged, its merged form is another model, or this machine computes otherwise than the
            night expects.
        EngineError: vLLM is to answer, and can't.
    """
    device, dtype = best_device()
    if str(dtype).removeprefix("torch.") != settings.dtype:
        raise ModelError(
            f"the night expects {settings.dtype} on {settings.device}, this program has {dtype} on {device}",
            do="make the pool's machines alike; `nightshift doctor` says what PyTorch sees",
        )
    tokenizer = load_tokenizer(Path(spec["base"]))
    model = load_model(Path(spec["base"]), Path(spec["adapter"]) if spec["adapter"] else None, dtype, device)
    reason = switch(model)
    if reason is not None:
        on_log(f"choices are scored by the model's own forward, not packed: {reason}")
    engine = LocalScoring(model, tokenizer, settings.tokens)
    if spec["adapter"]:
        before = _probe(engine, suites)
        engine.model = model.merge_and_unload()
        engine.parity = parity.compare(before, _probe(engine, suites))
        if engine.parity is not None:
            parity.check(engine.parity, dtype)
    if settings.quantise is not None:
        count = put_through(engine.model, settings.quantise)
        on_log(f"{count} matrices are judged as {settings.quantise} stores them")
    if settings.name == "vllm":
        engine = VllmScoring(Path(spec["base"]), engine, _longest_answered(engine, suites, sampled))
    return engine


def _longest_answered(engine: LocalScoring, suites: dict[str, Suite], sampled: int) -> int:
    """Tokens of the longest prompt with its answer, within what the model takes."""
    lengths = [
        len(engine._prompt(item, suite.scorer)) + max(suite.scorer.max_tokens, sampled)
        for suite in suites.values()
        for item in suite.items
    ]
    return min(max(lengths), engine._longest)


def _probe(engine: LocalScoring, suites: dict[str, Suite]) -> parity.Probe:
    """Log-probabilities and greedy words along right choices, or along the prompts where a suite has no choices."""
    items = [item for suite in suites.values() for item in suite.items[: PROBE_ITEMS // len(suites) + 1]]
    rows = [tokenize_item(engine.tokenizer, conversation(item), [_some_answer(item)]) for item in items]
    answered = [(row.prompt, row.choices[0]) for row in rows]
    best = words.likeliest(engine.model, answered, 1)
    right = words.logprobs_at(engine.model, answered, [torch.tensor(answer)[:, None] for _, answer in answered])
    return parity.probe([(logprobs[:, 0], ids[:, 0]) for logprobs, (ids, _) in zip(right, best, strict=True)])


def _some_answer(item: Item) -> str:
    return item.choices[item.answer or 0] if item.choices else item.messages[-1].content
