"""The register step, and what reads or moves the registry outside a night."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from infra.errors import NightshiftError
from infra.mlflow_requests import Login, account_login, login_now
from infra.notices import approval_requested, rejected
from infra.notify import Message, tell
from infra.objects import open_objects
from infra.pools import default_pool
from infra.registry_guard.embedded import EmbeddedGuard
from infra.registry_guard.terms import User
from infra.step import step
from infra.store import Blob, Store
from infra.webhooks import PATH
from tasks import place
from tasks.contracts import (
    Baseline,
    Baselines,
    Bill,
    Candidate,
    Evidence,
    Inputs,
    Model,
    Night,
    Plan,
    Portability,
    Preferences,
    Release,
    Scores,
    Snapshot,
    Verdict,
)
from tasks.errors import NotPromotable, RegistryError
from tasks.lm.merged import merged_folder
from tasks.recipe import Recipe
from tasks.registry import decide
from tasks.registry import promote as moves
from tasks.registry import reanchor as anchoring
from tasks.registry.choice import Chosen, choose
from tasks.registry.client import Registry, ensure_webhook, initialised_models, read_baseline
from tasks.registry.decide import whoami
from tasks.registry.export import Exported, export_version
from tasks.registry.export_check import public_key, verify_export
from tasks.registry.initialise import initialise, is_initialised, record_policy
from tasks.registry.model_card import Form
from tasks.registry.register import register_version
from tasks.registry.rollout import Place, Say, roll_back, spec_of
from tasks.registry.service import Ask, look, promote_or_say
from tasks.registry.waiting import await_promotion
from tasks.release import ReleasePolicy

TRAINER, APPROVER, SERVICE = "trainer", "approver", "service"


def registry_of(name: str, role: str = TRAINER, login: Login | None = None) -> Registry:
    """The registered model, changed as one account: on a server it logs in, in a file the guard goes with it."""
    tracker = place.tracking()
    if tracker.on_server:
        own = login or (login_now() if role == APPROVER else account_login(role))
        if role == APPROVER and (own is None or own.user in {TRAINER, SERVICE}):
            raise RegistryError(
                f"nobody is logged in who could decide on a version of {name}",
                do="decide in MLflow's page, name a Nightshift Approver block in the form, or set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            )
        return Registry(tracker.client, name, login=own)
    user = User(whoami() if role == APPROVER else role, role)
    return Registry(tracker.client, name, EmbeddedGuard(place.home(), tracker.registry_store(), user))


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
    plan: Plan,
    candidate: Candidate,
    scores: Scores,
    verdict: Verdict,
    probe: Blob | None,
    portability: Portability | None,
) -> Evidence:
    store = place.store()
    inputs = Inputs(
        # what was set: a phase that names a field of another method, even at its default, can't be read again
        recipe=store.put_bytes(recipe.model_dump_json(exclude_unset=True).encode(), "application/json"),
        snapshot=snapshot,
        preferences=preferences,
        plan=plan,
        candidate=candidate,
    )
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
        probe=probe,
        portability=portability,
        inputs=store.put_bytes(inputs.model_dump_json().encode(), "application/json"),
    )


def evidence_of(name: str, version: int) -> Evidence:
    """What a registered version's verdict rests on.

    Raises:
        NotPromotable: it carries no evidence.
    """
    return moves.read_evidence(registry_of(name).version(version).tags, version, place.store())


def inputs_of(name: str, version: int) -> tuple[Recipe, Inputs, bool]:
    """What a registered version was judged on, and whether its gate was whole.

    Raises:
        NotPromotable: it carries no evidence, or evidence of before this was kept.
    """
    inputs, promotable = _inputs(name, version)
    return Recipe.model_validate_json(place.store().read_bytes(inputs.recipe)), inputs, promotable


def learned_by(name: str, baseline: Baseline | None) -> Blob | None:
    """The lines that a registered version was trained on, as exactly as is known; None of one that never was."""
    if baseline is None or baseline.trained_on is None:
        return None
    try:
        return inputs_of(name, baseline.version)[1].candidate.pairs or baseline.trained_on
    except NotPromotable:  # of before that was kept
        return baseline.trained_on


def snapshot_of(name: str, version: int) -> Snapshot:
    """The data that a registered version was made from.

    Raises:
        NotPromotable: as ``inputs_of``.
    """
    return _inputs(name, version)[0].snapshot


def _inputs(name: str, version: int) -> tuple[Inputs, bool]:
    evidence = evidence_of(name, version)
    if evidence.inputs is None:
        raise NotPromotable(f"version {version} keeps nothing to judge it again by", do="run a new night")
    return Inputs.model_validate_json(place.store().read_bytes(evidence.inputs)), evidence.promotable


def _key(
    night: Night, recipe: Recipe, evidence: Evidence, preferences: Preferences, bill: Bill, report: Blob
) -> list[Any]:
    return [evidence, registry_of(recipe.name).identity()]


@step(area="registry", key=_key)
def register(
    night: Night, recipe: Recipe, evidence: Evidence, preferences: Preferences, bill: Bill, report: Blob
) -> Release:
    """A registered version with adapter, evidence, report and bill; people are told where it awaits one of them."""
    registry, tracker = registry_of(recipe.name), place.tracking()
    release = register_version(
        night, registry, evidence, preferences, bill, report, tracker, place.store(), recipe.serve.quantise
    )
    if release.state == "awaits approval":
        tell(spec_of(registry).notify, request_of(release, evidence, registry))
    return release


def request_of(release: Release, evidence: Evidence, registry: Registry) -> Message:
    expires = registry.version(release.version).tags.get("approval.expires")
    until = datetime.fromisoformat(expires) if expires else None
    paragraph = evidence.verdict.paragraph
    return approval_requested(release.name, release.version, release.verdict, paragraph, until, release.url)


def as_it_stands(release: Release) -> Release:
    """A release from an earlier run of the night: a person may have decided on its version since."""
    approval = registry_of(release.name).version(release.version).tags.get("approval")
    return release if approval == "requested" else release.model_copy(update={"state": "recorded"})


def first_champion(recipe: Recipe, model: Model) -> int:
    registry, policy = registry_of(recipe.name, SERVICE), ReleasePolicy(approval=recipe.approval, deploy=recipe.deploy)
    return initialise(registry, model, recipe.model.name, whoami(), place.store(), policy)


def initialised(name: str) -> bool:
    return is_initialised(registry_of(name))


def set_policy(recipe: Recipe) -> str:
    policy = ReleasePolicy(approval=recipe.approval, deploy=recipe.deploy)
    return record_policy(registry_of(recipe.name, SERVICE), policy)


def approve(name: str, version: int, waiver: str = "", login: Login | None = None) -> str:
    return decide.approve(registry_of(name, APPROVER, login), version, waiver)


def reject(name: str, version: int, reason: str, login: Login | None = None) -> str:
    registry = registry_of(name, APPROVER, login)
    told = decide.reject(registry, version, reason)
    by = registry.version(version).tags.get("approval.by", "")
    tell(spec_of(registry).notify, rejected(name, version, by, reason, place.tracking().version_url(name, version)))
    return told


def rollout_of(name: str) -> Place:
    """Where the service account rolls versions of this name out."""
    home, store, tracker = place.home(), place.store(), place.tracking()
    return Place(
        registry=registry_of(name, SERVICE),
        store=store,
        home=home,
        settings=place.settings(),
        lay=partial(as_it_serves, home=home, store=store),
        tell=tell,
        url=partial(tracker.version_url, name),
    )


def promote(name: str, version: int, say: Say) -> str:
    return promote_or_say(rollout_of(name), version, say)


def look_at_all(ask: Ask, say: Say) -> None:
    """What the promotion service does at every look, model by model: what is wrong with one holds up no other."""
    for name in initialised_models(place.tracking().client):
        try:
            look(rollout_of(name), ask, say)
        except NightshiftError as error:
            say(f"{name}: {error}")


def keep_webhook(port: int, secret: str) -> None:
    ensure_webhook(place.tracking().client, f"http://127.0.0.1:{port}{PATH}", secret)


def promoted_soon(name: str, version: int, say: Say) -> str:
    """What becomes of an approval: on a server its promotion service carries it out, else this process does."""
    if not place.tracking().on_server:
        return promote(name, version, say)
    return await_promotion(registry_of(name), version)


def reanchor(name: str, reason: str) -> str:
    registry = registry_of(name, SERVICE)
    return anchoring.reanchor(registry, place.store(), place.home(), whoami(), reason)


def rollback(name: str, reason: str, to: int | None, say: Say) -> str:
    return roll_back(rollout_of(name), whoami(), reason, to, say)


def export(name: str, version: int, to: str, form: Form = "merged", *, unapproved: bool = False) -> Exported:
    """A version as signed files under ``to``, a folder or ``s3://bucket/prefix``."""
    place.tracking().check()
    home, store = place.home(), place.store()
    return export_version(
        registry_of(name),
        version,
        open_objects(to, place.settings()),
        store,
        home,
        partial(as_it_serves, home=home, store=store),
        form=form,
        unapproved=unapproved,
    )


def as_it_serves(model: Model, quantise: str | None, *, home: Path, store: Store) -> Path:
    """A model laid out as one folder, merged on this machine."""
    return merged_folder(model, home, store, default_pool("local"), lambda event: None, quantise=quantise)


def check_export(url: str, key: Path | None) -> list[str]:
    """What is wrong with an export; ``key``: the signer's public key, or this machine's."""
    return verify_export(open_objects(url, place.settings()), public_key(place.home(), key))
