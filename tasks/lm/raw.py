"""Plain prompts, without a chat template, as token ids: encoded, cut and stopped as lm-evaluation-harness does it.

Others' suites were made for this form, and their published numbers are of it. Each function does what the HFLM model
of lm-evaluation-harness 0.4.13 does for a causal model (lm_eval/api/model.py, lm_eval/models/huggingface.py); the
parity test runs both on the same items.
"""

from collections.abc import Sequence
from typing import Any

from tasks.errors import SuiteError
from tasks.lm.choices import ChoiceItem

# where neither the model's config nor its tokenizer says how long a sequence may be
LONGEST = 2048


def tokenize_raw(tokenizer: Any, context: str, continuations: Sequence[str], longest: int) -> tuple[ChoiceItem, ...]:
    """A context and what may continue it, as items to score.

    White space at the end of the context belongs to the continuations, and context and continuation are encoded as one
    text: the continuation's tokens are those behind as many as the context has by itself. An empty context is the
    token that begins a text.

    Args:
        longest: tokens the model was made for (``longest_of``). A longer context loses its beginning.

    Returns:
        one item with all continuations, in their order. Where they don't share one context, because it had to be cut
        by a different length for each, there is one item for each: in any case the continuations' log-probabilities,
        item after item, are in their order.

    Raises:
        SuiteError: a continuation has no token of its own, or more than the model takes.
    """
    pairs = [_pair(tokenizer, context, continuation, longest) for continuation in continuations]
    if len({before for before, _ in pairs}) == 1:
        return (ChoiceItem(pairs[0][0], tuple(after for _, after in pairs)),)
    return tuple(ChoiceItem(before, (after,)) for before, after in pairs)


def _pair(tokenizer: Any, context: str, continuation: str, longest: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Token ids of a context and of its continuation."""
    if context:
        before, after = _split(tokenizer, context, continuation)
    else:
        before, after = _without_context(tokenizer, continuation)
    if not before or not after:
        what = "continuation" if before else "context"
        raise SuiteError(
            f"the {what} of {(context + continuation)[-80:]!r} has no token of its own",
            do="mend the item: its prompt must not be blank, and its choices not empty",
        )
    if len(after) > longest:
        raise SuiteError(
            f"the choice {continuation[:80]!r} has {len(after)} tokens, the model takes {longest}",
            do="shorten it, or take a model of a longer context",
        )
    # as many tokens go in as the model takes: the last is only predicted
    return before[-(longest + 1 - len(after)) :], after


def _split(tokenizer: Any, context: str, continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    text = context.rstrip()
    before = _encode(tokenizer, text)
    return before, _encode(tokenizer, context + continuation)[len(before) :]


def _without_context(tokenizer: Any, continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    after = tuple(tokenizer.encode(continuation, add_special_tokens=False))
    begin = _begin(tokenizer)
    return (after[:1], after[1:]) if after[:1] == (begin,) else ((begin,), after)


def _encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    """With the special tokens that this tokenizer adds, unless the text begins with one."""
    if text.startswith(tokenizer.decode(_begin(tokenizer))):
        return tuple(tokenizer.encode(text, add_special_tokens=False))
    return tuple(tokenizer.encode(text))


def _begin(tokenizer: Any) -> int:
    """The token that stands before an empty context."""
    return tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id


def tokenize_prompt(tokenizer: Any, context: str, max_tokens: int, longest: int) -> tuple[int, ...]:
    """A plain prompt that ``max_tokens`` are to be generated behind. A longer one loses its beginning.

    lm-evaluation-harness cuts a padded batch, so that a prompt's cut depends on its neighbours; here it doesn't.

    Raises:
        SuiteError: there is no room for a prompt.
    """
    room = longest - max_tokens
    if room <= 0:
        raise SuiteError(
            f"an answer of {max_tokens} tokens leaves no room for a prompt: the model takes {longest}",
            do="ask for fewer tokens (max_gen_toks), or take a model of a longer context",
        )
    begin = tokenizer.bos_token
    special = begin is None or not context.startswith(begin)
    return tuple(tokenizer.encode(context, add_special_tokens=special))[-room:]


def cut_at(text: str, stops: Sequence[str]) -> str:
    """The text before the first of the stops in it; white space stays."""
    for stop in stops:
        if stop:
            text = text.split(stop, maxsplit=1)[0]
    return text


def longest_of(config: Any, tokenizer: Any) -> int:
    """How many tokens a model takes: from its config, else its tokenizer, else ``LONGEST``."""
    config = getattr(config, "text_config", None) or config
    for name in ("n_positions", "max_position_embeddings", "n_ctx"):
        if getattr(config, name, None) is not None:
            return int(getattr(config, name))
    told = getattr(tokenizer, "model_max_length", None)
    # a tokenizer that wasn't told says 1e30
    return int(told) if told is not None and told < 1e9 else LONGEST
