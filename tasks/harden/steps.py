"""The soup step: the candidate averaged with what serves."""

from infra.digest import Digest
from infra.live import Live
from infra.step import step
from tasks import place
from tasks.contracts import Baselines, Candidate, Device, Night
from tasks.lm.souped import souped
from tasks.recipe import Recipe


def _device(night: Night, recipe: Recipe, candidate: Candidate, baselines: Baselines, share: float) -> Device:
    return place.pool(recipe.pool).device()


def _key(
    night: Night, recipe: Recipe, candidate: Candidate, baselines: Baselines, share: float
) -> list[Digest | float | None]:
    return [candidate.model.digest, baselines.champion.model.digest if baselines.champion else None, share]


@step(area="harden", key=_key, device=_device)
def soup(night: Night, recipe: Recipe, candidate: Candidate, baselines: Baselines, share: float) -> Candidate:
    """``share`` of the candidate and the rest of the champion, as a candidate of its own."""
    assert baselines.champion is not None  # without one the gate blocks, and a blocked night is not hardened
    models = (candidate.model, baselines.champion.model)
    with Live("soup") as on_event:
        model = souped(models, (share, 1 - share), place.home(), place.store(), place.pool(recipe.pool), on_event)
    return candidate.model_copy(update={"model": model, "recipe": recipe.digest, "of": 1})
