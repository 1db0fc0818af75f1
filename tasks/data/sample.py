"""sample: what the serving model says to the documents' questions without the documents, and the pairs that makes.

Answers are kept by model, settings and question: tomorrow samples new questions only, and a killed night goes on where
it stopped. Only an answer that differs from the document by a rule that says why becomes a rejected one.
"""

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from infra.digest import Record, digest_of, short
from infra.pools.base import OnEvent
from infra.programs import fresh_folder, run_program
from infra.settings import load_settings
from tasks import place
from tasks.contracts import Baselines, Model, Night
from tasks.data.documents.differs import differs
from tasks.data.documents.words import sentences
from tasks.data.rows import Built
from tasks.lm.answer_store import AnswerStore, Said, key_of
from tasks.lm.base import checkout
from tasks.lm.merged import dtype_of
from tasks.lm.results import result_of
from tasks.recipe import Recipe
from tasks.spending import watch

BUILDER = "documents/closed-book"


class Sampling(Record):
    """How answers are generated: greedily, so that a question has one answer."""

    max_tokens: int = 192
    temperature: float = 0.0
    seed: int = 0


class Tally(NamedTuple):
    """What became of the questions: ``differ``: pairs by reason; ``agree``: nothing shows that an answer says something
    else than the document; ``unanswered``: blank, or too long to ask."""

    asked: int
    differ: dict[str, int]
    agree: int
    unanswered: int

    def sentence(self) -> str:
        reasons = ", ".join(f"{count} by {reason}" for reason, count in sorted(self.differ.items()))
        return (
            f"{self.asked} questions: {sum(self.differ.values())} answers differ from the document"
            f"{f' ({reasons})' if reasons else ''}, {self.agree} don't, {self.unanswered} are none"
        )


SAMPLING = Sampling()


def has_documents(recipe: Recipe) -> bool:
    return any(source.kind == "documents" for source in recipe.sources)


def serving(base: Model, baselines: Baselines) -> Model:
    """The model whose answers are sampled: the champion; before there is one the base model, which it begins as."""
    return baselines.champion.model if baselines.champion is not None else base


def answer_store(home: Path, recipe: Recipe, model: Model, how: Sampling) -> AnswerStore:
    """Where a model's answers are kept: under what decides them, its precision on the recipe's pool among it."""
    key = digest_of([model, how, recipe.serve.quantise, dtype_of(place.pool(recipe.pool))])
    return AnswerStore(home / "answers" / short(key, 32))


def unasked(questions: Sequence[Built], store: AnswerStore) -> list[Built]:
    """The questions that the model wasn't asked yet, each once."""
    known = store.read()
    new = {key: one for one in questions if (key := key_of(one.prompt)) not in known}
    return list(new.values())


def answers(
    night: Night, recipe: Recipe, model: Model, questions: Sequence[Built], how: Sampling, on_event: OnEvent
) -> list[str]:
    """The model's closed-book answers, in the questions' order, from the store or from the recipe's pool.

    An answer that was cut off ends with its last whole sentence; blank where it has none, or the question is too long.

    Raises:
        ModelError: the model can't be loaded. StoreError: a file of it is missing or was changed.
        PoolError: the program failed. OverBudget, PastDeadline: asked to end; what is answered is kept.
    """
    kept = answer_store(place.home(), recipe, model, how)
    new = unasked(questions, kept)
    if new:
        _ask(night, recipe, model, new, how, kept, on_event)
    known = kept.read()
    return [_whole(known.get(key_of(one.prompt))) for one in questions]


def _ask(
    night: Night,
    recipe: Recipe,
    model: Model,
    new: list[Built],
    how: Sampling,
    kept: AnswerStore,
    on_event: OnEvent,
) -> None:
    pool = place.pool(recipe.pool)
    device = pool.device()
    base, adapter = checkout(model, place.home(), place.store())
    folder = fresh_folder(place.home() / "work" / f"sample-{short(night.id, 16)}")
    budget = watch(night, recipe, device)

    def watched(event: dict[str, Any]) -> None:
        on_event(event)
        budget.look()  # what it raises ends the program; answers are kept as they come

    spec = {
        "base": str(base),
        "adapter": str(adapter) if adapter else None,
        "quantise": recipe.serve.quantise,
        "dtype": dtype_of(pool),
        "threads": load_settings().threads,
        "workers": device.count,
        "answers": str(kept.folder),
        "prompts": [one.prompt for one in new],
        **how.model_dump(),
    }
    result_of(run_program(pool, "tasks.lm.answer_program", spec, folder, watched))
    shutil.rmtree(folder)


def _whole(said: Said | None) -> str:
    if said is None or said.why is not None:
        return ""
    return _ended(said.text) if said.cut else said.text


def _ended(text: str) -> str:
    """A text that was cut off, without its last sentence, or its last line where that is one sentence."""
    before, _, last = text.strip().rpartition("\n")
    if not last:
        return ""
    whole = sentences(last)
    if re.search(r"[.!?]$", last) and not re.fullmatch(r"\d+\.", whole[-1]):
        return text  # the bound fell on a sentence's end
    kept = " ".join(whole[:-1])
    return (f"{before}\n{kept}" if re.search(r"[^\W\d]", kept) else before).strip()


def sample_pairs(questions: Sequence[Built], answers: Sequence[str], model: str | None = None) -> list[Built]:
    """The pairs: of each question whose answer differs, the document's words over the model's.

    Args:
        answers: one a question, in their order; blank: none.
        model: who said it, for ``rejected_model``.
    """
    return [pair for pair in outcomes(questions, answers, model)[0] if pair is not None]


def outcomes(
    questions: Sequence[Built], answers: Sequence[str], model: str | None = None
) -> tuple[list[Built | None], Tally]:
    """For each question its pair, or None; and what became of all of them."""
    pairs: list[Built | None] = []
    reasons: Counter[str] = Counter()
    blank = 0
    for question, answer in zip(questions, answers, strict=True):
        blank += not answer.strip()
        pair, reason = _pair(question, answer, model)
        pairs.append(pair)
        reasons[reason] += pair is not None
    differ = {reason: count for reason, count in reasons.items() if count}
    agree = len(pairs) - sum(differ.values()) - blank
    return pairs, Tally(len(pairs), differ, agree, blank)


def _pair(question: Built, answer: str, model: str | None) -> tuple[Built | None, str]:
    citation = json.loads(question.citation or "{}")
    difference = differs(answer, question.chosen[0]["content"], question.prompt[-1]["content"])
    # the rest of a section that was too long for an answer may well hold the figure
    if difference is None or (difference.reason == "figure" and citation.get("cut")):
        return None, ""
    pair = replace(
        question,
        kind="pair",
        rejected=[{"role": "assistant", "content": answer}],
        builder=BUILDER,
        rejected_model=model,
        citation=json.dumps(citation | {"differs": difference.model_dump()}, ensure_ascii=False),
    )
    return pair, difference.reason
