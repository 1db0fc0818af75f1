"""The soup step: the candidate averaged with what serves."""

from collections.abc import Sequence

from infra.digest import Digest
from infra.live import Live
from infra.step import step
from infra.store import Blob, Store
from tasks import place
from tasks.contracts import Baselines, Candidate, Device, Night
from tasks.lm.souped import souped
from tasks.parts import joined, parts_of
from tasks.recipe import Recipe


def _device(night: Night, recipe: Recipe, candidate: Candidate, baselines: Baselines, share: float) -> Device:
    return place.pool(recipe.pool).device()


def _key(
    night: Night, recipe: Recipe, candidate: Candidate, baselines: Baselines, share: float
) -> list[Digest | float | None]:
    return [candidate.model.digest, baselines.champion.model.digest if baselines.champion else None, share]


def with_lines(made: Candidate, before: Sequence[Blob | None], store: Store) -> Candidate:
    """The candidate with all that is in it: its own lines, and those that what it was made of had learned from. Who is
    to be forgotten is looked for there (``nightshift data forget``)."""
    given = [*before, made.pairs]
    lines = list(dict.fromkeys(part for blob in given if blob for part in parts_of(blob, store)))
    return made.model_copy(update={"pairs": joined(lines, store) if lines else None})


@step(area="harden", key=_key, device=_device)
def soup(night: Night, recipe: Recipe, candidate: Candidate, baselines: Baselines, share: float) -> Candidate:
    """``share`` of the candidate and the rest of the champion, as a candidate of its own."""
    assert baselines.champion is not None  # without one the gate blocks, and a blocked night is not hardened
    models = (candidate.model, baselines.champion.model)
    with Live("soup") as on_event:
        model = souped(models, (share, 1 - share), place.home(), place.store(), place.pool(recipe.pool), on_event)
    return candidate.model_copy(update={"model": model, "recipe": recipe.digest, "of": 1})
