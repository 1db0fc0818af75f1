"""What a served model is asked after a deployment, and what the gated artefact answered to it."""

from pydantic import Field, model_validator

from infra.digest import Digest, Record


class ProbeMessage(Record):
    role: str
    content: str


class Probe(Record):
    """One prompt.

    Attributes:
        answer: the gated artefact's greedy answer, without special tokens.
        others: what the champion and the anchor of that night answered, where it is another answer.
        logprobs: of the answer's tokens, in nats, where the night kept them.
    """

    messages: tuple[ProbeMessage, ...] = Field(min_length=1)
    answer: str
    others: tuple[str, ...] = ()
    max_tokens: int = Field(gt=0)
    logprobs: tuple[float, ...] = ()

    @property
    def conversation(self) -> list[dict[str, str]]:
        return [message.model_dump() for message in self.messages]


class ProbeSet(Record):
    """The probes of one model. Stored with the evidence; the tag ``nightshift.probe`` names the blob."""

    model: Digest
    probes: tuple[Probe, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _something_is_said(self) -> "ProbeSet":
        if not any(probe.answer.strip() for probe in self.probes):
            raise ValueError("every expected answer is empty: such a set would take a dead server for a good one")
        return self


def plain(text: str) -> str:
    """The text with single spaces: engines decode white space differently."""
    return " ".join(text.split())


def leading(text: str, other: str) -> int:
    """How many characters both begin with."""
    return next((at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
