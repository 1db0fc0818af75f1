"""init: register the base model as the first champion and the anchor, once, explicitly, recorded."""

from datetime import UTC, datetime

from infra.digest import digest_of
from infra.store import Store
from tasks.contracts import Model
from tasks.errors import RegistryError
from tasks.registry.client import INITIALISED, Registry, model_tags
from tasks.release import POLICY_TAG, ReleasePolicy


def initialise(registry: Registry, model: Model, base_name: str, who: str, store: Store, policy: ReleasePolicy) -> int:
    """Register ``model`` as champion and anchor. Safe to repeat after a crash in the middle; refused once done.

    Raises:
        RegistryError: it was done before. A missing champion later on is never replaced silently.
    """
    done = registry.model_tag(INITIALISED)
    if done is not None:
        raise RegistryError(
            f"{registry.name} was initialised already ({done})",
            do="nothing is left to do; if an alias is missing, set it in MLflow by hand, knowing why",
        )
    registry.ensure(f"Nightshift: nights on {base_name}")
    key = digest_of(["init", model])
    number = registry.by_key(key)
    if number is None:
        number = registry.create(
            source=f"store:/{model.base.digest_}",
            run=None,
            tags={
                "nightshift.key": key,
                "nightshift.role": "base",
                "nightshift.by": who,
                **model_tags(model, None, store),
            },
            description=f"The base model {base_name}: first champion, and the anchor that drift is measured from.",
        )
    registry.swap_alias("anchor", number, registry.alias("anchor"))
    registry.swap_alias("champion", number, registry.alias("champion"))
    record_policy(registry, policy)
    registry.tag_model(INITIALISED, f"{datetime.now(UTC).isoformat(timespec='seconds')} by {who}, version {number}")
    return number


def record_policy(registry: Registry, policy: ReleasePolicy) -> str:
    """Record who must approve versions and where they go; what the guard and ``promote`` go by from now on."""
    text = policy.model_dump_json()
    if registry.model_tag(POLICY_TAG) == text:
        return f"{registry.name}: the release policy is the recipe's already"
    registry.tag_model(POLICY_TAG, text)
    return f"{registry.name}: the release policy is the recipe's now"


def is_initialised(registry: Registry) -> bool:
    return registry.model_tag(INITIALISED) is not None
