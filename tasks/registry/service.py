"""What the promotion service does when it looks into the registry: finish, expire, approve by rule, promote.

It looks when a webhook says so and, as webhooks are lost, every few seconds anyway. It acts on what the registry says
then, never on what a webhook said.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from infra.notices import auto_approved, needs_rejudgement
from infra.registry_guard.embedded import Refused
from infra.store import Store
from tasks.errors import ExportError, NeedsRejudgement, NotPromotable, RegistryRefused
from tasks.registry.approval import auto_problem
from tasks.registry.client import Registry
from tasks.registry.promote import check_objects, finish, read_evidence
from tasks.registry.rollout import Place, Say, deploy_served, roll_out, spec_of
from tasks.registry.waiting import REFUSED_TAG, Due, due
from tasks.release import POLICY_TAG, release_policy

Ask = Callable[[str, Due], None]


def look(place: Place, ask: Ask, say: Say) -> None:
    """Do what there is to do for one registered model.

    Args:
        place: with the registry as the service account.
        ask: asks for the promotion of an approved version; may be called again for the same until it is promoted.
    """
    registry = place.registry
    if told := finish(registry, place.store, place.home):
        say(told)
    if told := deploy_served(place, say, again=False):
        say(f"{registry.name}{told}")
    policy = release_policy(registry.model_tag(POLICY_TAG)).approval
    versions = {int(one.version): one.tags for one in registry.versions()}
    for one in due(versions, policy, datetime.now(UTC)):
        tags = versions[one.version]
        if one.what == "promote":
            ask(registry.name, one)
        elif one.what == "expire":
            registry.set_tag(one.version, "approval", f"rejected: nobody approved it until {tags['approval.expires']}")
            say(f"the request for version {one.version} of {registry.name} expired at {tags['approval.expires']}")
        elif (told := approve_by_rule(registry, one.version, place.store)) is not None:
            place.tell(spec_of(registry).notify, auto_approved(registry.name, one.version, str(policy.auto), ""))
            say(told)


def approve_by_rule(registry: Registry, number: int, store: Store) -> str | None:
    """Approve as the service account, if every condition of the policy's rule holds; what was done, or None."""
    tags = registry.version(number).tags
    policy = release_policy(registry.model_tag(POLICY_TAG)).approval
    try:
        evidence = read_evidence(tags, number, store)
        check_objects(evidence, number, store)
    except NotPromotable:
        return None  # a person sees why, when they approve it
    if auto_problem(tags, evidence, policy) is not None:
        return None
    registry.set_tag(number, "approval", "approved")
    return f"version {number} of {registry.name} is approved by the policy's rule: {policy.auto}"


def promote_or_say(place: Place, number: int, say: Say) -> str:
    """``roll_out``, and where an approved version can't be: say so on the version, so that it isn't tried for ever.

    Raises:
        NotPromotable, ExportError, Refused, RegistryRefused: as ``roll_out`` does.
    """
    registry = place.registry
    try:
        return roll_out(place, number, say)
    except NeedsRejudgement as error:
        _say_on(registry, number, "approval", f"rejected: {error.what}")
        told = needs_rejudgement(registry.name, number, None, registry.alias("champion"), place.url(number))
        place.tell(spec_of(registry).notify, told)
        raise
    except (NotPromotable, ExportError, Refused, RegistryRefused) as error:
        _say_on(registry, number, REFUSED_TAG, error.what)
        raise


def _say_on(registry: Registry, number: int, key: str, text: str) -> None:
    if registry.version(number).tags.get("approval") == "approved":
        registry.set_tag(number, key, text)
