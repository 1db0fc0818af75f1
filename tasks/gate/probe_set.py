"""The probe set of a night: some of the candidate's greedy answers, which scoring kept anyway."""

from collections.abc import Iterator, Mapping, Sequence

from infra.store import Store
from tasks.contracts import Model, Scores
from tasks.errors import SuiteError
from tasks.gate.judge import read_reference
from tasks.gate.score import SAMPLES, samples_suite
from tasks.gate.suites import Item, Suite, spread
from tasks.probes import Probe, ProbeMessage, ProbeSet

# with half of them, rounding is taken for another model once in fifty times (docs/design/smoke-probe.md)
COUNT = 24
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
    if not chosen:
        raise SuiteError(
            "the night kept no answer of the candidate to probe a server with",
            do="add [gate.drift] to the recipe, or a suite with generated answers",
        )
    return ProbeSet(model=model.digest, probes=chosen)


def choose(probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """Those first that another model answers otherwise: they tell it from the candidate. The same for the same night.

    Not those first that part soonest: where two models part at the first word, that word is often nearly a tie, and
    then rounding decides it too.
    """
    said = {probe.digest: probe for probe in probes if probe.answer.strip()}.values()
    return tuple(sorted(said, key=lambda one: (not one.others, one.digest))[:COUNT])


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
