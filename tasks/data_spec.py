"""A recipe's sources, and what their rows must live up to."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from infra.digest import Record

SourceKind = Literal["pairs", "labels", "conversations", "documents"]
TOPIC = r"^[a-z0-9][a-z0-9_-]*$"  # what a source's rows are about; a name that JSON spells as it stands


# of each kind, the forms a source may be said to have; tasks/data/kinds has an importer for each
FORMS: dict[SourceKind, tuple[str, ...]] = {
    "pairs": (
        "auto", "trl", "hh", "llama-factory", "axolotl", "ratings", "ratings-all", "argilla",
    ),
    "labels": ("auto", "trl", "thumbs", "chat", "stars", "llama-factory"),
    "conversations": ("auto",),
    "documents": ("auto", "titles"),
}  # fmt: skip


class SourceSpec(Record):
    """One source. In TOML a path alone, or a table."""

    path: str = Field(
        min_length=1,
        description="a file, a folder, a glob or `s3://bucket/prefix`; from the checkout or absolute",
    )
    kind: SourceKind = Field(default="pairs", description="what its records are: docs/guides/data.md has each kind")
    form: str = Field(
        default="auto", pattern=r"^[a-z0-9-]+$", description="the records' form, where it is not to be told from each"
    )
    tenant: str | None = Field(
        default=None, pattern=r"^[a-z0-9][a-z0-9-]*$", description="whose records these are, where they don't say so"
    )
    topic: str | None = Field(
        default=None, pattern=TOPIC, description="what its rows are about, for a phase that trains `on` it alone"
    )
    keep: bool = Field(
        default=False, description="a rolling export: rows of objects that are gone from the source stay"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "SourceSpec":
        if self.form not in FORMS[self.kind]:
            raise ValueError(f"{self.kind} have no form {self.form!r}, only {', '.join(FORMS[self.kind])}")
        if self.keep and self.kind == "documents":
            raise ValueError("keep is for exports of records: documents are read as they stand tonight")
        return self

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, raw: Any) -> Any:
        return {"path": raw} if isinstance(raw, str) else raw


Handling = Literal["quarantine", "mask", "allow"]
# countries whose national telephone numbers are known, by ISO 3166 code
PHONE_REGIONS = (
    "US", "GB", "DE", "FR", "ES", "IT", "NL", "AT", "CH", "BE", "SE", "PL", "PT", "IE", "DK", "AU", "IN", "BR",
)  # fmt: skip


class PersonalSpec(Record):
    """What is done about personal data and secrets, a kind."""

    email: Handling = Field(
        default="quarantine", description="e-mail addresses: the row leaves, they are masked, or stay"
    )
    phone: Handling = Field(default="quarantine", description="telephone numbers")
    iban: Handling = Field(default="quarantine", description="bank accounts (IBAN)")
    card: Handling = Field(default="quarantine", description="payment cards")
    ip: Handling = Field(default="quarantine", description="IPv4 and IPv6 addresses")
    secret: Handling = Field(default="quarantine", description="keys, tokens, passwords")
    regions: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...] = Field(
        default=PHONE_REGIONS, description="countries whose national telephone numbers are known; others need a +"
    )


class Caps(Record):
    """How much of a source is read: what is larger is named in the quarantine, and no night dies of it."""

    line_bytes: int = Field(default=16 << 20, gt=0, description="longest line, CSV record or Parquet row, in bytes")
    object_bytes: int = Field(
        default=8 << 30, gt=0, description="most bytes that a compressed object (or a Parquet file's values) unpacks to"
    )
    ratio: float = Field(default=200, gt=1, description="most that it may unpack to, in times of its size")
    depth: int = Field(default=64, gt=0, description="deepest nesting of a JSON record")
    document_bytes: int = Field(default=64 << 20, gt=0, description="largest document, unpacked, in bytes")


class ServedSpec(Record):
    """Logs of what is asked in service: tonight's data is compared with them, nothing of them is trained on."""

    path: str = Field(
        min_length=1, description="a file, a folder, a glob or `s3://bucket/prefix` of records with a prompt or a talk"
    )
    prompts: int = Field(default=20_000, gt=0, description="so many are counted, of the newest objects first")


class DataSpec(Record):
    """Sources and what a row must live up to."""

    holdout: float = Field(default=0.2, gt=0, lt=1, description="share of prompts held out for the house suite")
    max_prompt_tokens: int = Field(default=512, gt=0, description="longer prompts are quarantined")
    max_answer_tokens: int = Field(default=512, gt=0, description="longer answers are quarantined")
    min_answer_tokens: int = Field(default=1, gt=0, description="shorter answers are quarantined")
    min_new_pairs: int = Field(
        default=100, gt=0, description="fewer new training pairs than this: nothing to learn tonight"
    )
    replay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of tonight's pairs that the champion was trained on before; unset: all pairs alike",
    )
    max_quarantined: float = Field(default=0.5, gt=0, le=1, description="a larger quarantined share stops the night")
    caps: Caps = Field(default_factory=Caps, description="how much of a source is read")
    personal: PersonalSpec = Field(
        default_factory=PersonalSpec, description="personal data and secrets: docs/guides/data.md"
    )
    served: ServedSpec | None = Field(
        default=None, description="what is asked in service, which tonight's prompts are compared with"
    )
