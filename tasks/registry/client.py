"""The only client of MLflow's model registry: versions, tags, aliases.

Every version of ours carries ``nightshift.*`` tags; ``nightshift.key`` is its identity, so registering the same
evidence twice finds the first version. A version is created in one call with all its tags, after its artifacts are
there: there is no half-registered version.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from infra.digest import Digest
from infra.mlflow_requests import Login, acting_as
from infra.registry_guard.books import EXPECTED_HEADER, NOTHING
from infra.registry_guard.changes import Change
from infra.registry_guard.embedded import EmbeddedGuard
from infra.store import Blob, Store
from tasks.contracts import Baseline, Model
from tasks.errors import RegistryError, RegistryRefused

Alias = Literal["champion", "previous", "anchor", "drill"]  # the last is the rollback drill's, and serves nobody
INITIALISED = "nightshift.initialised"
DECIDED = ("PASS", "FAIL", "INCONCLUSIVE")
_PAGE = 1000


T = TypeVar("T")
_REFUSALS = {"PERMISSION_DENIED", "RESOURCE_CONFLICT"}


class Registry:
    """One registered model of one MLflow registry, changed as one account.

    Args:
        guard: judges and records changes where the registry is a file; on a server, the server's does.
        login: the account on a server; None for that of this process.
    """

    def __init__(
        self, client: MlflowClient, name: str, guard: EmbeddedGuard | None = None, login: Login | None = None
    ) -> None:
        self._client = client
        self._guard = guard
        self._login = login
        self.name = name

    def _change(self, change: Change, make: Callable[[], T], expected: str | None = None) -> T:
        headers = {EXPECTED_HEADER: expected} if expected is not None else None
        with acting_as(self._login, headers):
            if self._guard is not None:
                return self._guard.made(change, make, expected)
            try:
                return make()
            except MlflowException as error:
                if error.error_code not in _REFUSALS:
                    raise
                what, _, do = error.message.removeprefix(f"{error.error_code}: ").rpartition("; ")
                raise RegistryRefused(what or error.message, do=do or "look again and decide anew") from error

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
            create = self._client.create_registered_model
            self._change(Change("create_model", self.name), lambda: create(self.name, description=description))

    def tag_model(self, key: str, value: str) -> None:
        change = Change("set_model_tag", self.name, key=key, value=value)
        self._change(change, lambda: self._client.set_registered_model_tag(self.name, key, value))

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
        create = self._client.create_model_version
        created = self._change(
            Change("create_version", self.name, tags=tags),
            lambda: create(self.name, source, run_id=run, tags=tags, description=description),
        )
        return int(created.version)

    def tag(self, number: int, tags: dict[str, str]) -> None:
        """Set tags that don't have these values yet."""
        known = self.version(number).tags
        for key, value in tags.items():
            if known.get(key) != value:
                self.set_tag(number, key, value)

    def set_tag(self, number: int, key: str, value: str) -> None:
        """Set a tag, also to the value it has: a second approver says what the first said."""
        change = Change("set_version_tag", self.name, str(number), key, value)
        self._change(change, lambda: self._client.set_model_version_tag(self.name, str(number), key, value))

    def alias(self, alias: Alias) -> int | None:
        """The version an alias points to. MLflow raises for a missing one; here it is None, and the gate blocks."""
        model = self._model()
        if model is None:
            return None
        # search does not fill aliases in every store: ask for the model itself
        aliases = self._client.get_registered_model(self.name).aliases
        return int(aliases[alias]) if alias in aliases else None

    def swap_alias(self, alias: Alias, number: int, expected: int | None) -> None:
        """Move an alias that names ``expected`` now (None: that isn't set); nothing where it names ``number`` already.

        Raises:
            RegistryRefused, Refused: it names another version, or the rules don't allow the move.
        """
        if expected == number:
            return
        change = Change("set_alias", self.name, str(number), alias=alias)
        self._change(
            change,
            lambda: self._client.set_registered_model_alias(self.name, alias, str(number)),
            NOTHING if expected is None else str(expected),
        )

    def judged_nights(self, besides: Digest) -> tuple[Digest, ...]:
        """Nights with a judged version: the ledger must know each of them.

        Args:
            besides: tonight, which may be judged again.
        """
        tags = [version.tags for version in self.versions() if version.tags.get("nightshift.verdict") in DECIDED]
        return tuple(sorted({one["nightshift.night"] for one in tags} - {besides}))


WEBHOOK = "nightshift"
_EVENTS: list[Any] = ["model_version_tag.set", "model_version_alias.created"]


def ensure_webhook(client: MlflowClient, url: str, secret: str) -> None:
    """The one webhook of ours, at this address with this secret; there may be one from an earlier start."""
    ours = [one for one in client.list_webhooks() if one.name == WEBHOOK]
    for extra in ours[1:]:
        client.delete_webhook(extra.webhook_id)
    if ours:
        client.update_webhook(ours[0].webhook_id, url=url, events=_EVENTS, secret=secret, status="ACTIVE")
    else:
        client.create_webhook(WEBHOOK, url, _EVENTS, secret=secret)


def initialised_models(client: MlflowClient) -> list[str]:
    """Names of the registered models that nights work on."""
    found, token = [], None
    while True:
        page = client.search_registered_models(max_results=1000, page_token=token)
        found += [one.name for one in page if INITIALISED in one.tags]
        token = page.token
        if not token:
            return found


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
    return None if number is None else read_version(registry, number, store)


def read_version(registry: Registry, number: int, store: Store) -> Baseline:
    """The model of a version.

    Raises:
        RegistryError: there is no such version, it isn't ours, or its tags contradict each other.
    """
    tags = registry.version(number).tags
    try:
        model = Model.model_validate_json(store.read_bytes(Blob.model_validate_json(tags["nightshift.model_ref"])))
        trained_on = Blob.model_validate_json(tags["nightshift.trained_on"]) if tags["nightshift.trained_on"] else None
    except (KeyError, ValueError) as error:
        raise RegistryError(
            f"version {number} of {registry.name} has nightshift tags that can't be read: {error}",
            do="name a version that Nightshift registered, or point the alias to one",
        ) from error
    if model.digest != tags.get("nightshift.model"):
        raise RegistryError(
            f"version {number} of {registry.name} says it is model {tags.get('nightshift.model')}, "
            f"its files are {model.digest}",
            do="find out who changed its tags; roll back to a version you trust",
        )
    return Baseline(version=number, model=model, trained_on=trained_on)


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
