"""The recipe: what to train. TOML to a frozen model; ``--set key=value`` overrides are checked by the same model."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from infra.digest import Record
from tasks.errors import RecipeError

Positive = Field(gt=0)
Share = Field(gt=0, lt=1)


class ModelSpec(Record):
    """Which base model. ``source`` is a folder, a GGUF file, or ``package:NAME/FILE`` inside an installed package."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    source: str = Field(min_length=1)


class DataSpec(Record):
    """Sources and what a row must live up to."""

    holdout: float = Field(0.2, gt=0, lt=1, description="share of prompts held out for the house suite")
    max_prompt_tokens: int = Field(512, gt=0)
    max_answer_tokens: int = Field(512, gt=0)
    min_answer_tokens: int = Field(1, gt=0)
    min_new_pairs: int = Field(100, gt=0, description="fewer new training pairs than this: nothing to learn tonight")
    max_quarantined: float = Field(0.5, gt=0, le=1, description="a larger quarantined share stops the night")


class LoraSpec(Record):
    r: int = Field(16, gt=0)
    alpha: int = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class Phase(Record):
    """One alignment step. DPO is the method of this release; its loss is any of TRL's DPO losses."""

    method: Literal["dpo"] = "dpo"
    loss: str = "sigmoid"
    beta: float = Field(0.1, gt=0)
    learning_rate: float = Field(1e-4, gt=0)
    batch_size: int = Field(4, gt=0)
    max_steps: int = Field(gt=0)
    warmup_steps: int = Field(0, ge=0)
    lora: LoraSpec = LoraSpec()


class SuiteSpec(Record):
    """One gate suite: a folder with items.jsonl and suite.toml, or ``house`` (held out of the recipe's sources)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    path: str | None = None
    measure: Literal["right", "probability"]
    margin: float = Field(gt=0, lt=1, description="largest loss against the champion that counts as no worse")
    budget: float = Field(gt=0, lt=1, description="largest loss against the anchor over the model's whole life")


class GateSpec(Record):
    """How the candidate is judged (docs/design/gate.md)."""

    alpha: float = Field(0.05, gt=0, lt=0.5)
    planned_decisions: int = Field(365, gt=0, description="the anchor's alpha is divided by this")
    target: str
    min_items: int = Field(150, gt=0)
    max_items: int = Field(1000, gt=0)
    suites: tuple[SuiteSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "GateSpec":
        names = [suite.name for suite in self.suites]
        if len(set(names)) != len(names):
            raise ValueError(f"suite names repeat: {names}")
        if self.target not in names:
            raise ValueError(f"target {self.target!r} is none of the suites {names}")
        if self.max_items < self.min_items:
            raise ValueError(f"max_items {self.max_items} is below min_items {self.min_items}")
        return self


class BudgetSpec(Record):
    max_amount: float = Field(gt=0, description="money one night may cost, in the price book's currency")
    max_hours: float = Field(gt=0, description="hours the pool may be held")


class Recipe(Record):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = 0
    pool: str = "local"
    sources: tuple[str, ...] = Field(min_length=1)
    model: ModelSpec
    data: DataSpec = DataSpec()
    phase: tuple[Phase, ...] = Field(min_length=1, max_length=1)
    gate: GateSpec
    budget: BudgetSpec

    def identity(self) -> dict[str, Any]:
        # where it runs and where the files lie don't change the result: the snapshot's digest covers the sources' bytes
        return {name: value for name, value in super().identity().items() if name not in {"pool", "sources", "budget"}}


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides.

    Relative sources are looked up from the recipe's folder first, then from the working directory.

    Raises:
        RecipeError: unreadable file, unknown key, invalid value; the message names it.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {path}", do="name a recipe file, for example recipes/demo.toml") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"the recipe {path} can't be read: {error}", do="mend the file; it must be TOML") from None
    for override in overrides:
        _apply(raw, override)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"the recipe {path} is invalid: {_explain(error)}", do="mend these keys; docs/recipes.md lists all") from None


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
        raise RecipeError(f"the override {override!r} names no place in the recipe", do="check the key against the file") from None


def _child(target: Any, part: str, override: str) -> Any:
    try:
        return target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
    except (ValueError, IndexError, AttributeError):
        raise RecipeError(f"the override {override!r} names no place in the recipe", do="check the key against the file") from None


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
