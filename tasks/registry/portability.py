"""Whether tonight's training moved to another kind of device than the champion's, and what a receipt says of that."""

from infra.errors import StoreError
from infra.store import Store
from tasks import place
from tasks.contracts import Baselines, Candidate, Inputs, Model, Portability
from tasks.errors import NotPromotable
from tasks.portability import least_shown, portability_of
from tasks.receipts import phase_digest
from tasks.recipe import Recipe
from tasks.registry.client import Registry
from tasks.registry.promote import read_evidence
from tasks.registry.steps import registry_of


def portability(recipe: Recipe, candidate: Candidate, baselines: Baselines, base: Model) -> Portability | None:
    """None where the champion was never trained (it is the base model), or on the same kind of device."""
    if baselines.champion is None:
        return None
    store = place.store()
    trained, champion = candidate.device, champion_device(registry_of(recipe.name), baselines.champion.version, store)
    if champion == NEVER:
        return None
    phases = recipe.phase[: candidate.phase]  # a later one has no part in it
    found = [
        portability_of(place.home(), store, trained, champion, base.digest, phase_digest(phase)) for phase in phases
    ]
    return least_shown([one for one in found if one is not None])


NEVER = ""  # the device of a model that we didn't train


def champion_device(registry: Registry, version: int, store: Store) -> str | None:
    """The kind of device a version was trained on; ``NEVER`` of a base model, None where it can't be known.

    What its evidence lacks or has lost is not this night's fault: the audit names it, and here it is not known.
    """
    tags = registry.version(version).tags
    if "nightshift.evidence" not in tags:
        return NEVER
    try:
        kept = read_evidence(tags, version, store).inputs
        return Inputs.model_validate_json(store.read_bytes(kept)).candidate.device if kept is not None else None
    except (NotPromotable, StoreError, ValueError):
        return None
