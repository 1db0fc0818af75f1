"""The recipe: what to train. TOML to a frozen model; ``--set key=value`` overrides are checked by the same model."""

import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from infra.digest import Record
from infra.redact import holds_password
from tasks.chained import chain_problems
from tasks.data_spec import DataSpec, SourceSpec
from tasks.errors import RecipeError
from tasks.harden_spec import HardenSpec
from tasks.judged import Measure
from tasks.phases import Phase
from tasks.release import ApprovalSpec, DeploySpec
from tasks.schedule import ScheduleSpec


class ModelSpec(Record):
    """Which base model. ``source`` is a folder, a GGUF file, or ``package:NAME/FILE`` inside an installed package."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", description="the base model's name, for people")
    source: str = Field(
        min_length=1, description="a folder in Hugging Face form, a `.gguf` file, or `package:NAME/FILE`"
    )


# of answers to everyday prompts, and whether an item's result is right/wrong or graded
DRIFT_MEASURES: dict[str, Measure] = {
    "length": "score",
    "refusal": "right",
    "repetition": "score",
    "language": "right",
    "kl": "score",
}


class SuiteSpec(Record):
    """One gate suite: a folder with items.jsonl and suite.toml, or ``house`` (held out of the recipe's sources)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="`house`, or a folder of `expectations/model/`")
    path: str | None = Field(default=None, description="the suite's folder, where it is another one")
    measure: Measure = Field(
        description="`right`: right or wrong; `probability`: of the right choice; `score`: a graded answer's mean mark"
    )
    margin: float = Field(gt=0, lt=1, description="largest loss against the champion that counts as no worse")
    budget: float = Field(gt=0, lt=1, description="largest loss against the anchor over the model's whole life")


class Limits(Record):
    margin: float = Field(gt=0, lt=1, description="largest loss against the champion that counts as no worse")
    budget: float = Field(gt=0, lt=1, description="largest loss against the anchor over the model's whole life")


class DriftSpec(Record):
    """What may change in answers to everyday prompts: measures as paired suites, and fixed limits."""

    path: str | None = Field(default=None, description="the prompts' folder, where it is another one")
    max_items: int = Field(default=300, ge=100, description="of more prompts, the same ones are taken every night")
    length: Limits | None = Field(default=None, description="closeness of an answer's length to the anchor's")
    refusal: Limits | None = Field(default=None, description="share of prompts that are answered, not refused")
    repetition: Limits | None = Field(default=None, description="share of an answer's 4-word runs that don't repeat")
    language: Limits | None = Field(default=None, description="share of answers in the prompt's language")
    kl: Limits | None = Field(default=None, description="exp(−KL a token) to the anchor, over its own answers")
    max_kl: float | None = Field(default=None, gt=0, description="fixed limit: mean KL to the anchor, nats a token")
    max_length_ratio: float | None = Field(
        default=None, gt=1, description="fixed limit: mean length over the anchor's, or the reverse"
    )
    max_empty: float | None = Field(default=None, gt=0, lt=1, description="fixed limit: share of empty answers")

    def measures(self) -> dict[str, Limits]:
        """The measures that are judged as suites, by name."""
        named = {name: getattr(self, name) for name in DRIFT_MEASURES}
        return {name: limits for name, limits in named.items() if limits is not None}

    @model_validator(mode="after")
    def _something_is_measured(self) -> "DriftSpec":
        if not self.measures() and self.max_kl is None and self.max_length_ratio is None and self.max_empty is None:
            raise ValueError("gate.drift limits nothing: give a measure or a fixed limit, or leave it out")
        return self


class GateSpec(Record):
    """How the candidate is judged (docs/design/gate.md)."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="one-sided error of every bound")
    planned_decisions: int = Field(default=365, gt=0, description="the anchor's alpha is divided by this")
    target: str = Field(description="the suite that must be proven better")
    min_items: int = Field(default=150, gt=0, description="families; a suite of fewer blocks")
    max_items: int = Field(
        default=1000, gt=0, description="families; of a larger suite, the same ones are taken every night"
    )
    engine: Literal["packed", "vllm"] = Field(
        default="packed",
        description="what answers: ours, or vLLM (docs/guides/vllm.md); log-probabilities are ours",
    )
    early_stop: bool = Field(default=True, description="stop scoring once harm is proven")
    aa_items: int = Field(
        default=64, ge=0, description="items a suite that a new champion or engine is scored on twice (A/A); 0: none"
    )
    noise_floor: float | None = Field(
        default=None, gt=0, lt=1, description="what A/A may differ by; unset: 0.001 in fp32, 0.02 below"
    )
    suites: tuple[SuiteSpec, ...] = Field(min_length=1, description="all suites the candidate is judged on")
    drift: DriftSpec | None = Field(default=None, description="what may change in answers to everyday prompts")

    @model_validator(mode="after")
    def _consistent(self) -> "GateSpec":
        names = [suite.name for suite in self.suites]
        if len(set(names)) != len(names):
            raise ValueError(f"suite names repeat: {names}")
        if self.target not in names:
            raise ValueError(f"target {self.target!r} is none of the suites {names}")
        if self.max_items < self.min_items:
            raise ValueError(f"max_items {self.max_items} is below min_items {self.min_items}")
        if any(name == "drift" or name.startswith("drift-") for name in names):
            raise ValueError("suites called drift… are made from gate.drift: give yours another name")
        return self

    @property
    def judged(self) -> tuple[SuiteSpec, ...]:
        """All suites the verdict is over: the recipe's, and one for each measure of drift."""
        drift = self.drift.measures() if self.drift else {}
        return self.suites + tuple(
            SuiteSpec(name=f"drift-{name}", measure=DRIFT_MEASURES[name], margin=one.margin, budget=one.budget)
            for name, one in drift.items()
        )


class ServeSpec(Record):
    """What serves, and so what is judged (docs/design/scoring.md)."""

    form: Literal["merged", "adapter"] = Field(
        default="merged", description="what is deployed: the merged model, or base and adapter apart"
    )
    quantise: Literal["Q8_0", "Q5_0", "Q4_0", "Q4_1"] | None = Field(
        default=None, description="GGUF type the served weights are stored in; unset: as trained"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ServeSpec":
        if self.form == "adapter" and self.quantise is not None:
            raise ValueError("serve.quantise needs serve.form = 'merged': what is judged is the merged model")
        return self


class BudgetSpec(Record):
    max_amount: float = Field(gt=0, description="money one night may cost, in the price book's currency")
    max_hours: float = Field(gt=0, description="hours the pool may be held")
    max_month_amount: float | None = Field(
        default=None, gt=0, description="money all nights of a calendar month may cost; unset: no limit"
    )


# where and when it runs, what it may cost, what comes after it and what is compared don't change what a night makes
_NO_RESULT = {"pool", "fallback_pools", "tenant", "sources", "budget", "schedule", "approval", "deploy", "compare"}


class Recipe(Record):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="also the registered model's name")
    seed: int = Field(default=0, description="of the choice of pairs and of training")
    pool: str = Field(default="local", description="where align and score run")
    fallback_pools: tuple[str, ...] = Field(
        default=(), description="tried in this order where the pool is down or its queue too long"
    )
    tenant: str = Field(
        default="default", pattern=r"^[a-z0-9][a-z0-9-]*$", description="whose night it is, on the month's bill"
    )
    sources: tuple[SourceSpec, ...] = Field(
        min_length=1, description="paths, or tables with `path`, `kind`, `form`, `tenant` and `keep`"
    )
    model: ModelSpec = Field(description="the base model")
    data: DataSpec = Field(default_factory=DataSpec, description="the split and the bounds of a row")
    phase: tuple[Phase, ...] = Field(
        min_length=1, description="what is trained, in this order; each phase starts from the one before"
    )
    gate: GateSpec = Field(description="how the candidate is judged")
    harden: HardenSpec = Field(
        default_factory=HardenSpec, description="what is tried with a candidate that didn't pass; nothing unless `on`"
    )
    serve: ServeSpec = Field(default_factory=ServeSpec, description="what serves, and so what is judged")
    budget: BudgetSpec = Field(description="what the night may take")
    compare: dict[str, dict[str, Any]] = Field(
        default={},
        description="`nightshift compare`: what a method's phase has of its own, a table a method; "
        "`online`: of all that learn from rewards. No night reads it",
    )
    schedule: ScheduleSpec | None = Field(
        default=None, description="when nights start by themselves, once `nightshift schedule RECIPE` said so"
    )
    approval: ApprovalSpec = Field(
        default_factory=ApprovalSpec, description="who decides on a version; counts once recorded (`nightshift policy`)"
    )
    deploy: DeploySpec = Field(default_factory=DeploySpec, description="where a promoted version goes, and who is told")

    @model_validator(mode="after")
    def _phases_chain(self) -> "Recipe":
        problems = chain_problems(self.phase, frozenset(one.topic for one in self.sources if one.topic))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def alone(self, number: int) -> "Recipe":
        """The recipe with one of its phases, counted from 1: what that phase's training, forecast and receipt read.

        Raises:
            RecipeError: it has no such phase.
        """
        if not 1 <= number <= len(self.phase):
            raise RecipeError(
                f"the recipe has no phase {number}, only {len(self.phase)}", do="name one of these, from 1"
            )
        return self if len(self.phase) == 1 else self.model_copy(update={"phase": (self.phase[number - 1],)})

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, raw: Any) -> Any:
        # a recipe is logged and registered with every version
        if holds_password(json.dumps(raw, default=str)):
            raise ValueError("a URL in it holds a password or a token; give it by an environment variable")
        return raw

    def identity(self) -> dict[str, Any]:
        # where it runs and where the files lie don't change the result: the snapshot's digest covers the sources' bytes
        return {name: value for name, value in super().identity().items() if name not in _NO_RESULT}


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides.

    Raises:
        RecipeError: unreadable file, unknown key, invalid value; the message names it.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise RecipeError(
            f"there is no recipe {path}", do="name a recipe file, for example recipes/demo.toml"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"the recipe {path} can't be read: {error}", do="mend the file; it must be TOML") from None
    for override in overrides:
        _apply(raw, override)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(
            f"the recipe {path} is invalid: {_explain(error)}", do="mend these keys; docs/recipes.md lists all"
        ) from None


def overrides_gate(overrides: tuple[str, ...]) -> bool:
    """Whether an override touches how the night is judged: such a night is not promotable."""
    return any(override.partition("=")[0].split(".")[0].strip() == "gate" for override in overrides)


def _apply(raw: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not sign or not all(parts):
        raise RecipeError(f"the override {override!r} isn't key=value", do="write it like phase.0.max_steps=10")
    target: Any = raw
    for part in parts[:-1]:
        target = _child(target, part, override)
    value: Any = _value(text)
    if parts == ["sources"] and isinstance(value, str):
        value = [value]
    try:
        target[int(parts[-1]) if isinstance(target, list) else parts[-1]] = value
    except (ValueError, IndexError, TypeError):
        raise RecipeError(
            f"the override {override!r} names no place in the recipe", do="check the key against the file"
        ) from None


def _child(target: Any, part: str, override: str) -> Any:
    try:
        return target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
    except (ValueError, IndexError, AttributeError):
        raise RecipeError(
            f"the override {override!r} names no place in the recipe", do="check the key against the file"
        ) from None


def _value(text: str) -> Any:
    """The override's value as TOML, or as plain text where it isn't TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ValidationError) -> str:
    parts = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        got = "" if problem["type"] == "missing" else f" (got {problem['input']!r:.60})"
        parts.append(f"{where}: {problem['msg']}{got}" if where else problem["msg"])
    return "; ".join(parts)
