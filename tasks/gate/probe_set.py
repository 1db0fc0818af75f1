"""The probe set of a night: the candidate's greedy answers that scoring kept anyway, the most telling ones."""

from collections.abc import Iterator, Mapping, Sequence

from infra.store import Store
from tasks.contracts import Model, Scores
from tasks.errors import SuiteError
from tasks.gate.judge import read_reference
from tasks.gate.score import SAMPLES, samples_suite
from tasks.gate.suites import Item, Suite, spread
from tasks.probes import Probe, ProbeMessage, ProbeSet, leading, plain

COUNT = 12
TELLING = 8  # of them, those where the candidate parts soonest from what served; the others are spread
MAX_CHARACTERS = 8000  # of a prompt: a probe is asked of a server that others wait for


def probe_of(model: Model, items: Mapping[str, Suite], scores: Scores, store: Store) -> ProbeSet:
    """What the candidate answered to prompts of this night, from its scorecards and sample answers.

    Args:
        model: the candidate's.
        items: the night's suites by name (``tasks.gate.items.tonight``).

    Raises:
        SuiteError: the night kept no greedy answer of the candidate that isn't empty.
    """
    found = [*_of_cards(items, scores, store), *_of_samples(items, scores, store)]
    chosen = choose([probe for probe in found if _short_enough(probe)])
    if not any(probe.answer.strip() for probe in chosen):
        raise SuiteError(
            "the night kept no answer of the candidate to probe a server with",
            do="add [gate.drift] to the recipe, or a suite with generated answers",
        )
    return ProbeSet(model=model.digest, probes=chosen)


def choose(probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """The most telling probes and some of the rest, the same ones for the same night."""
    ordered = sorted({probe.digest: probe for probe in probes}.values(), key=lambda one: (parting(one), one.digest))
    telling = [probe for probe in ordered if parting(probe) < 1][:TELLING]
    rest = sorted(
        (probe for probe in ordered if probe not in telling and probe.answer.strip()), key=lambda one: one.digest
    )
    return (*telling, *rest[: COUNT - len(telling)])


def parting(probe: Probe) -> float:
    """The share of the answer before it parts from the nearest other one; 1 where there is none.

    A server that serves the other model is told from the right one soonest where this is small.
    """
    if not probe.others or not probe.answer.strip():
        return 1.0
    answer = plain(probe.answer)
    return max(leading(answer, plain(other)) for other in probe.others) / len(answer)


def _of_cards(items: Mapping[str, Suite], scores: Scores, store: Store) -> Iterator[Probe]:
    """Greedy answers in the scorecards: of drift, and of suites whose answers are checked."""
    refs = {(ref.role, ref.suite): ref for ref in scores.cards}
    for name, suite in items.items():
        if not _greedy(suite):
            continue
        answers: dict[str, dict[str, str]] = {}
        for role in ("candidate", "champion", "anchor"):
            card, _ = read_reference(refs.get((role, name)), role, name, store)
            answers[role] = {one.id: one.answers[0] for one in card.results if one.answers} if card else {}
        for item in suite.items:
            if item.id in answers["candidate"]:
                others = [answers[role][item.id] for role in ("champion", "anchor") if item.id in answers[role]]
                yield _probe(item, answers["candidate"][item.id], others, suite.scorer.max_tokens)


def _greedy(suite: Suite) -> bool:
    """Whether its answers are what a chat server gives at temperature 0."""
    scorer = suite.scorer
    return scorer.generates and scorer.template == "chat" and scorer.temperature == 0 and not scorer.stop


def _of_samples(items: Mapping[str, Suite], scores: Scores, store: Store) -> Iterator[Probe]:
    """The sample answers of the report."""
    rows = store.read_json(scores.samples)
    assert isinstance(rows, list)
    if not rows:  # one of the models has none
        return
    asked = spread(items[samples_suite(dict(items))].items, SAMPLES["count"])
    for item, row in zip(asked, rows, strict=True):
        yield _probe(item, row["candidate"], [row["champion"]], SAMPLES["max_tokens"])


def _probe(item: Item, answer: str, others: Sequence[str], max_tokens: int) -> Probe:
    return Probe(
        messages=tuple(ProbeMessage(role=one.role, content=one.content) for one in item.messages),
        answer=answer,
        others=tuple(sorted({other for other in others if other != answer})),
        max_tokens=max_tokens,
    )


def _short_enough(probe: Probe) -> bool:
    return sum(len(message.content) for message in probe.messages) <= MAX_CHARACTERS
