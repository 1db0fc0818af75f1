"""What every deployment target offers: a check, moving its pointer, saying where it points, and where to ask it."""

import re
from abc import abstractmethod
from typing import ClassVar, Literal

from prefect.blocks.core import Block
from pydantic import Field, SecretStr, ValidationError

from infra.digest import Digest, Record, short
from infra.errors import TargetError
from infra.targets.ask import Endpoint
from infra.targets.http import why_not_private


class Pointer(Record):
    """What a target shall serve. Two pointers are the same when all but the time is.

    Attributes:
        model: digest of the model. manifest: digest of what describes the artefact's files, so that a server can check
            what it loads.
        artefact: URL of the exported model.
    """

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"at"})

    form: Literal["nightshift/pointer/1"] = "nightshift/pointer/1"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(ge=1)
    model: Digest
    artefact: str = Field(min_length=1)
    manifest: Digest
    at: str

    @property
    def served_name(self) -> str:
        """What a server calls the model, best as its ``--served-model-name``: the probe recognises it."""
        return f"{self.name}-{self.version}-{short(self.model, 12)}"

    def same(self, other: "Pointer | None") -> bool:
        return other is not None and self.digest == other.digest

    @property
    def words(self) -> str:
        return f"version {self.version} of {self.name} ({short(self.model, 12)})"


class Target(Block):
    """A place that serves one registered model. Adding a kind is one file and one line in ``infra.targets.TARGETS``."""

    endpoint: str | None = Field(
        default=None, description="OpenAI-compatible base URL of what serves, e.g. https://host/v1."
    )
    unprobed: bool = Field(default=False, description="Accept that without an endpoint nobody asks what serves.")
    served_model: str | None = Field(
        default=None, description="The model's name in requests. Unset: the one the endpoint lists for this version."
    )
    api_key: SecretStr | None = Field(default=None, description="The endpoint's API key.")
    allow_http: bool = Field(
        default=False, description="Send secrets over plain http to other machines: only on a network of your own."
    )
    ready_seconds: float = Field(
        default=300, gt=0, le=3600, description="How long the server may take to answer as the new version."
    )

    @abstractmethod
    def check(self) -> list[str]:
        """What is wrong with the target, one sentence a problem; empty when it can be pointed."""

    @abstractmethod
    def point(self, to: Pointer) -> None:
        """Make the target serve ``to``. Twice changes nothing.

        Raises:
            TargetError: it could not be pointed, or serves another registered model.
        """

    @abstractmethod
    def points_to(self) -> Pointer | None:
        """What the target was last pointed to; None where that was nothing, or where it can't tell (see ``knows``)."""

    def knows(self) -> bool:
        """Whether ``points_to`` is asked of the target itself, so that None means nothing."""
        return True

    def served(self) -> Endpoint | None:
        """Where to ask what serves."""
        if self.endpoint is None:
            return None
        return Endpoint(self.endpoint, self.api_key.get_secret_value() if self.api_key else "", self.served_model)

    def endpoint_problems(self) -> list[str]:
        """What is wrong with where to ask. No endpoint is a problem unless somebody accepted it."""
        if self.endpoint is None:
            return [] if self.unprobed else ["it has no endpoint, so nobody can ask what serves: set it, or `unprobed`"]
        if not re.match(r"https?://[^/\s@]+(/\S*)?$", self.endpoint):
            return ["the endpoint is no URL that begins with http:// or https:// and holds no password"]
        if self.api_key is None or self.allow_http:
            return []
        reason = why_not_private(self.endpoint)
        return [f"the endpoint's API key would be sent to {reason}"] if reason else []


def read_pointer(data: bytes | str, where: str) -> Pointer:
    """A pointer from its JSON.

    Raises:
        TargetError: it is none; the message says where it was found.
    """
    try:
        return Pointer.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole of it"
        raise TargetError(
            f"what {where} holds is no pointer: {field}: {first['msg']}",
            do="find out who wrote it; remove it, and promote or roll back again",
        ) from None


def refuse_other(name: str, held: Pointer | None, where: str) -> None:
    """One target serves one registered model: another's pointer is never overwritten.

    Raises:
        TargetError: the target serves another name.
    """
    if held is not None and held.name != name:
        raise TargetError(
            f"{where} serves {held.name}, not {name}", do=f"give {name} a target of its own, or remove that pointer"
        )
