"""Layouts of explicit pairs: TRL's, HH's, LLaMA-Factory's and Axolotl's."""

from collections.abc import Callable
from typing import Any

from tasks.data.kinds.fields import Fields, first_of, named
from tasks.data.kinds.messages import (
    Messages,
    from_json,
    is_transcript,
    messages,
    split_where_they_part,
    transcript,
    with_system,
)

Parts = tuple[Messages, Messages, Messages]

AXOLOTL_PROMPTS = ("messages", "prompt", "input", "question", "instruction")


def layout_of(value: Fields) -> str:
    """Which layout the keys tell."""
    if value.get("chosen_response") is not None:
        return "axolotl"
    if value.get("conversations") is not None or value.get("instruction") is not None:
        return "llama-factory"
    prompt = value.get("prompt")
    if prompt is None:
        if any(value.get(name) is not None for name in AXOLOTL_PROMPTS):
            return "axolotl"
        chosen = value.get("chosen")
        return "hh" if type(chosen) is str and not chosen.startswith('[{"') else "trl"
    if value.get("system"):
        return "axolotl"
    return "hh" if is_transcript(prompt) else "trl"


def _trl(value: Fields) -> Parts:
    """Explicit or implicit, conversational or plain."""
    chosen, rejected = _answers(value)
    prompt, chosen, rejected = from_json(value.get("prompt"), chosen, rejected)
    if prompt is None:
        if type(chosen) is str or type(rejected) is str:
            raise ValueError(f"chosen and rejected are texts without a prompt; {named(value)}")
        both = messages(chosen, "chosen", "assistant"), messages(rejected, "rejected", "assistant")
        return split_where_they_part(*both)
    return _behind_prompt(messages(prompt, "prompt", "user"), chosen, rejected)


def _hh(value: Fields) -> Parts:
    """Two transcripts, or a transcript and two answers. Only whole transcripts are taken apart, never an answer."""
    chosen, rejected = _answers(value)
    prompt = value.get("prompt")
    if type(chosen) is not str or type(rejected) is not str or not isinstance(prompt, str | None):
        raise ValueError("the form hh has transcripts as text")
    if prompt is None:
        return split_where_they_part(transcript(chosen, "chosen"), transcript(rejected, "rejected"))
    turns = transcript(prompt, "prompt")
    if len(turns) > 1 and turns[-1] == {"role": "assistant", "content": ""}:
        turns.pop()  # the mark that the answer follows
    return turns, messages(chosen.strip(), "chosen", "assistant"), messages(rejected.strip(), "rejected", "assistant")


def _llama_factory(value: Fields) -> Parts:
    """Ranking data in alpaca's layout (instruction, input, history) or ShareGPT's (conversations)."""
    output = value.get("output")
    if value.get("chosen") is None and isinstance(output, list) and len(output) == 2:
        chosen, rejected = output
    else:
        chosen, rejected = _answers(value)
    conversations = first_of(value, ("conversations", "messages"))
    if conversations is not None:
        conversations, chosen, rejected = from_json(conversations, chosen, rejected)
        prompt = messages(conversations, "conversations", "user")
    else:
        prompt = instruction(value)
    return _behind_prompt(with_system(value.get("system"), prompt), chosen, rejected)


def instruction(value: Fields) -> Messages:
    """Alpaca's prompt: earlier turns from ``history`` (question, answer), then instruction and input.

    Raises:
        ValueError: one of them is of another kind.
    """
    parts = [part for part in (value.get("instruction"), value.get("input")) if part not in (None, "")]
    if not parts or not all(type(part) is str for part in parts):
        raise ValueError(f"instruction and input are no text; {named(value)}")
    turns: Messages = []
    history = value.get("history")
    if not isinstance(history, list | None):
        raise ValueError(f"history is no list but {type(history).__name__}")
    for turn in history or ():
        if not isinstance(turn, list | tuple) or len(turn) != 2 or not all(type(text) is str for text in turn):
            raise ValueError(f"history holds something else than a question and its answer: {turn!r:.80}")
        turns += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
    return [*turns, {"role": "user", "content": "\n".join(parts)}]


def _axolotl(value: Fields) -> Parts:
    """chatml's and llama3's intel, icr, ultra, argilla, prompt_pairs, and chat_template: names of one layout."""
    chosen, rejected = _answers(value, "chosen_response", "rejected_response")
    given = first_of(value, AXOLOTL_PROMPTS)
    if given is None:
        return _trl(value)  # argilla_chat: two whole conversations
    given, chosen, rejected = from_json(given, chosen, rejected)
    return _behind_prompt(with_system(value.get("system"), messages(given, "prompt", "user")), chosen, rejected)


def _answers(value: Fields, *others: str) -> tuple[Any, Any]:
    chosen, rejected = value.get("chosen"), value.get("rejected")
    if others:
        chosen = value.get(others[0]) if chosen is None else chosen
        rejected = value.get(others[1]) if rejected is None else rejected
    if chosen is None or rejected is None:
        missing = [name for name, answer in (("chosen", chosen), ("rejected", rejected)) if answer is None]
        raise ValueError(f"no {' and no '.join(missing)}; {named(value)}")
    return chosen, rejected


def _behind_prompt(prompt: Messages, chosen: Any, rejected: Any) -> Parts:
    """Answers as they are, or what is left of whole conversations that begin with the prompt."""
    one, other = messages(chosen, "chosen", "assistant"), messages(rejected, "rejected", "assistant")
    if one[0]["role"] == "assistant" or other[0]["role"] == "assistant":
        return prompt, one, other
    shared, *answers = split_where_they_part(one, other)
    if _stripped(shared[-len(prompt) :]) != _stripped(prompt):
        return prompt, one, other  # they answer something else: the check of roles names the row
    return shared, answers[0], answers[1]


def _stripped(turns: Messages) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"].strip()) for turn in turns]


LAYOUTS: dict[str, Callable[[Fields], Parts]] = {
    "trl": _trl,
    "hh": _hh,
    "llama-factory": _llama_factory,
    "axolotl": _axolotl,
}
