"""The next-word distribution at every token of given answers: the likeliest words, or these words' log-probabilities.

Answer by answer, so that one answer's logits (tokens × vocabulary) are the most that is held at once.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from tasks.lm import packed
from tasks.lm.head import Shape, shape_of
from tasks.lm.layout import Document, lay_out

# a prompt's token ids and its answer's
Answered = tuple[Sequence[int], Sequence[int]]


def likeliest(model: Any, answered: Sequence[Answered], count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """At each token of each answer, the likeliest words and their log-probabilities in nats: both (tokens, count)."""

    def take(logprobs: torch.Tensor, _: int) -> tuple[torch.Tensor, torch.Tensor]:
        values, ids = logprobs.topk(min(count, logprobs.shape[1]), dim=1)
        return ids.cpu(), values.cpu()

    return _each(model, answered, take)


def logprobs_at(model: Any, answered: Sequence[Answered], ids: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """At each token of each answer, the log-probabilities of these words: (tokens, words), as ``ids`` has them."""

    def take(logprobs: torch.Tensor, number: int) -> torch.Tensor:
        return logprobs.gather(1, ids[number].to(logprobs.device, torch.long)).cpu()

    return _each(model, answered, take)


@torch.no_grad()
def _each(model: Any, answered: Sequence[Answered], take: Callable[[torch.Tensor, int], Any]) -> list[Any]:
    logits = _packed_logits if packed.is_enabled(model) else _own_logits
    return [take(one.float().log_softmax(1), number) for number, one in enumerate(logits(model, answered))]


def _packed_logits(model: Any, answered: Sequence[Answered]) -> Iterator[torch.Tensor]:
    """Of each answer, the logits that predict its tokens: (tokens, vocabulary); all answers in one packed forward."""
    device = next(model.parameters()).device
    layout = lay_out([Document(len(prompt), (len(answer),)) for prompt, answer in answered])
    ids = torch.tensor([token for prompt, answer in answered for token in (*prompt, *answer)], device=device)
    hidden = packed.hidden_states(model, ids, layout.to(device))
    inner = packed.causal_lm(model)
    shape = shape_of(inner.config) or Shape()
    for start, one in zip(layout.starts, layout.documents, strict=True):
        first = start + one.prefix - 1
        logits = inner.get_output_embeddings()(hidden[first : first + one.branches[0]]) * shape.scale
        yield logits if shape.cap is None else shape.cap * torch.tanh(logits / shape.cap)


def _own_logits(model: Any, answered: Sequence[Answered]) -> Iterator[torch.Tensor]:
    """The same by the model's own forward, answer by answer."""
    device = next(model.parameters()).device
    for prompt, answer in answered:
        ids = torch.tensor([[*prompt, *answer]], device=device)
        yield model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : len(prompt) - 1 + len(answer)]
