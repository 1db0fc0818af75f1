"""The register step, and what reads or moves the registry outside a night."""

from typing import Any

from infra.step import step
from infra.store import Blob
from tasks import place
from tasks.contracts import (
    Baselines,
    Bill,
    Candidate,
    Evidence,
    Model,
    Night,
    Preferences,
    Release,
    Scores,
    Snapshot,
    Verdict,
)
from tasks.recipe import Recipe
from tasks.registry import promote as moves
from tasks.registry import reanchor as anchoring
from tasks.registry.choice import Chosen, choose
from tasks.registry.client import Registry, read_baseline
from tasks.registry.initialise import initialise, is_initialised
from tasks.registry.register import register_version


def registry_of(name: str) -> Registry:
    return Registry(place.tracking().client, name)


def chosen(name: str, wanted: list[str]) -> list[Chosen]:
    """The versions that these aliases or numbers mean."""
    place.tracking().check()
    return choose(registry_of(name), wanted, place.store())


def baselines_of(name: str, night: str) -> Baselines:
    """Champion and anchor, and the nights judged before this one."""
    registry, store = registry_of(name), place.store()
    return Baselines(
        champion=read_baseline(registry, "champion", store),
        anchor=read_baseline(registry, "anchor", store),
        nights=registry.judged_nights(night),
    )


def make_evidence(
    night: Night,
    recipe: Recipe,
    snapshot: Snapshot,
    preferences: Preferences,
    candidate: Candidate,
    scores: Scores,
    verdict: Verdict,
) -> Evidence:
    return Evidence(
        night=night.id,
        recipe=recipe.digest,
        snapshot=snapshot.digest,
        preferences=preferences.digest,
        model=candidate.model,
        champion=verdict.champion,
        anchor=verdict.anchor,
        cards=scores.cards,
        verdict=verdict,
        trained_on=preferences.train,
        promotable=night.promotable,
    )


def _key(
    night: Night, recipe: Recipe, evidence: Evidence, preferences: Preferences, bill: Bill, report: Blob
) -> list[Any]:
    return [evidence, registry_of(recipe.name).identity()]


@step(area="registry", key=_key)
def register(
    night: Night, recipe: Recipe, evidence: Evidence, preferences: Preferences, bill: Bill, report: Blob
) -> Release:
    """A registered version with adapter, evidence, report and bill."""
    return register_version(
        night,
        registry_of(recipe.name),
        evidence,
        preferences,
        bill,
        report,
        place.tracking(),
        place.store(),
        recipe.serve.quantise,
    )


def as_it_stands(release: Release) -> Release:
    """A release from an earlier run of the night: a person may have decided on its version since."""
    approval = registry_of(release.name).version(release.version).tags.get("approval")
    return release if approval == "requested" else release.model_copy(update={"state": "recorded"})


def first_champion(name: str, base_name: str, model: Model) -> int:
    return initialise(registry_of(name), model, base_name, moves.whoami(), place.store())


def initialised(name: str) -> bool:
    return is_initialised(registry_of(name))


def approve(name: str, version: int, waiver: str = "") -> str:
    return moves.approve(registry_of(name), version, moves.whoami(), place.home(), waiver)


def promote(name: str, version: int) -> str:
    return moves.promote(registry_of(name), version, place.store(), place.home())


def reanchor(name: str, reason: str) -> str:
    return anchoring.reanchor(registry_of(name), place.store(), place.home(), moves.whoami(), reason)


def reject(name: str, version: int, reason: str) -> str:
    return moves.reject(registry_of(name), version, reason, moves.whoami())


def rollback(name: str) -> str:
    return moves.rollback(registry_of(name), place.home(), moves.whoami())
