"""The only client of MLflow's model registry: versions, tags, aliases.

Every version of ours carries ``nightshift.*`` tags; ``nightshift.key`` is its identity, so registering the same
evidence twice finds the first version. A version is created in one call with all its tags, after its artifacts are
there: there is no half-registered version.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from infra.digest import Digest
from infra.store import Blob, Store
from tasks.contracts import Baseline, Model
from tasks.errors import RegistryError

Alias = Literal["champion", "previous", "anchor", "drill"]  # the last is the rollback drill's, and serves nobody
DECIDED = ("PASS", "FAIL", "INCONCLUSIVE")
_PAGE = 1000


class Registry:
    """One registered model of one MLflow registry."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client = client
        self.name = name

    def exists(self) -> bool:
        return self._model() is not None

    def identity(self) -> str:
        """What tells this registered model from one of the same name in another or a wiped registry."""
        model = self._model()
        return f"{self.name}@{model.creation_timestamp}" if model else f"{self.name}@none"

    def _model(self) -> Any | None:
        found = self._client.search_registered_models(f"name = '{self.name}'", max_results=1)
        return found[0] if found else None

    def ensure(self, description: str) -> None:
        if not self.exists():
            self._client.create_registered_model(self.name, description=description)

    def tag_model(self, key: str, value: str) -> None:
        self._client.set_registered_model_tag(self.name, key, value)

    def model_tag(self, key: str) -> str | None:
        model = self._model()
        return model.tags.get(key) if model else None

    def versions(self) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name = '{self.name}'", max_results=10_000))

    def by_key(self, key: Digest) -> int | None:
        """The version registered under this identity."""
        found = [int(version.version) for version in self.versions() if version.tags.get("nightshift.key") == key]
        return min(found) if found else None

    def version(self, number: int) -> ModelVersion:
        try:
            return self._client.get_model_version(self.name, str(number))
        except MlflowException as error:
            known = sorted(int(version.version) for version in self.versions())
            raise RegistryError(
                f"{self.name} has no version {number}; there are {known}", do="name one of these"
            ) from error

    def create(self, source: str, run: str | None, tags: dict[str, str], description: str) -> int:
        created = self._client.create_model_version(self.name, source, run_id=run, tags=tags, description=description)
        return int(created.version)

    def tag(self, number: int, tags: dict[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(self.name, str(number), key, value)

    def alias(self, alias: Alias) -> int | None:
        """The version an alias points to. MLflow raises for a missing one; here it is None, and the gate blocks."""
        model = self._model()
        if model is None:
            return None
        # search does not fill aliases in every store: ask for the model itself
        aliases = self._client.get_registered_model(self.name).aliases
        return int(aliases[alias]) if alias in aliases else None

    def set_alias(self, alias: Alias, number: int) -> None:
        self._client.set_registered_model_alias(self.name, alias, str(number))

    def judged_nights(self, besides: Digest) -> tuple[Digest, ...]:
        """Nights with a judged version: the ledger must know each of them.

        Args:
            besides: tonight, which may be judged again.
        """
        tags = [version.tags for version in self.versions() if version.tags.get("nightshift.verdict") in DECIDED]
        return tuple(sorted({one["nightshift.night"] for one in tags} - {besides}))


def model_tags(model: Model, trained_on: Blob | None, store: Store) -> dict[str, str]:
    """Tags from which ``read_baseline`` finds the model again."""
    return {
        "nightshift.model": model.digest,
        "nightshift.model_ref": store.put_bytes(model.model_dump_json().encode(), "application/json").model_dump_json(),
        "nightshift.trained_on": trained_on.model_dump_json() if trained_on else "",
    }


def read_baseline(registry: Registry, alias: Alias, store: Store) -> Baseline | None:
    """The model behind an alias, or None where the alias isn't set.

    Raises:
        RegistryError: the version isn't ours, or its tags contradict each other.
    """
    number = registry.alias(alias)
    if number is None:
        return None
    tags = registry.version(number).tags
    try:
        model = Model.model_validate_json(store.read_bytes(Blob.model_validate_json(tags["nightshift.model_ref"])))
        trained_on = Blob.model_validate_json(tags["nightshift.trained_on"]) if tags["nightshift.trained_on"] else None
    except (KeyError, ValueError) as error:
        raise RegistryError(
            f"alias {alias} of {registry.name} points to version {number}, "
            f"whose nightshift tags can't be read: {error}",
            do="point the alias to a version that Nightshift registered",
        ) from error
    if model.digest != tags.get("nightshift.model"):
        raise RegistryError(
            f"version {number} of {registry.name} says it is model {tags.get('nightshift.model')}, "
            f"its files are {model.digest}",
            do="find out who changed its tags; roll back to a version you trust",
        )
    return Baseline(version=number, model=model, trained_on=trained_on)


def tags_text(values: dict[str, Any]) -> dict[str, str]:
    """Tag values as text; MLflow takes nothing else."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


class VersionSeen(NamedTuple):
    """A version as the registry holds it now."""

    created: str  # MLflow's time of its creation
    tags: dict[str, str]
    description: str
    stage: str


class ModelSeen(NamedTuple):
    tags: dict[str, str]
    description: str
    versions: dict[str, VersionSeen]
    aliases: dict[str, str]


def read_all(client: MlflowClient) -> dict[str, ModelSeen]:
    """Every registered model and version, whoever made it."""
    found: dict[str, ModelSeen] = {}
    for one in _pages(lambda token: client.search_registered_models(max_results=100, page_token=token)):
        # search does not fill aliases in every store
        model = client.get_registered_model(one.name)
        aliases = {alias: str(version) for alias, version in model.aliases.items()}
        found[model.name] = ModelSeen(dict(model.tags), model.description or "", {}, aliases)
    for one in _pages(lambda token: client.search_model_versions(max_results=_PAGE, page_token=token)):
        if one.name in found:  # else its model was made between the two looks
            version = VersionSeen(
                str(one.creation_timestamp), dict(one.tags), one.description or "", one.current_stage or "None"
            )
            found[one.name].versions[str(one.version)] = version
    return found


def _pages(read: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        page = read(token)
        yield from page
        token = page.token
        if not token:
            return
