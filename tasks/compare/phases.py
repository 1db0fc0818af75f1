"""From a recipe to each method's phase: the same data, start and number of preferences, another way to learn. Pure.

A method takes over what is not special to any method (adapter, learning rate, batch size, health limits, …) and, where
it is the recipe's own, all of the recipe's phase. What is special to it comes from ``[compare.METHOD]``; methods that
learn from rewards share ``[compare.online]``.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tasks.errors import RecipeError
from tasks.phases import METHODS, Phase
from tasks.recipe import Recipe
from tasks.trainable import has_truth, is_label, is_plain

ONLINE = "online"  # the table that all methods with rewards share
# names of a comparison that are not names of METHODS, and the phases they stand for
NAMED: Mapping[str, Mapping[str, Any]] = {
    "ipo": {"method": "dpo", "loss": ("ipo",)},
    "rejection": {"method": "reject"},
}
DEFAULT = ("dpo", "ipo", "kto", "rejection", "grpo", "ppo")
_DECIDED = ("max_steps", "method")  # by the comparison, and by no table
# what answers are rewarded by, and how they are drawn: methods that learn from rewards share it
_REWARDED = ("reward", "reward_weights", "group_size", "max_new_tokens", "temperature")


def known_methods() -> tuple[str, ...]:
    """What ``--methods`` may name."""
    return (*(name for name in METHODS if name != "reject"), *NAMED)


def default_methods() -> tuple[str, ...]:
    """What is compared where nobody says what: of ``DEFAULT``, what this release can train."""
    return tuple(name for name in DEFAULT if method_of(name) in METHODS)


def method_of(name: str) -> str:
    """The entry of METHODS that a name of a comparison stands for."""
    return str(NAMED.get(name, {}).get("method", name))


def name_of(phase: Phase) -> str:
    """What a comparison calls the method of a phase."""
    if phase.method == "dpo" and phase.losses == ("ipo",):
        return "ipo"
    return "rejection" if str(phase.method) == "reject" else phase.method


def check_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The methods to compare, in the order they were named; ``reject`` is ``rejection``.

    Raises:
        RecipeError: fewer than two, one twice, or one that nothing here trains.
    """
    asked = tuple("rejection" if name == "reject" else name for name in names)
    for name in asked:
        if name not in known_methods():
            raise RecipeError(
                f"there is no method {name!r} to compare", do=f"name some of {', '.join(known_methods())}"
            )
        if method_of(name) not in METHODS:
            raise RecipeError(
                f"the method {name!r} is a phase {method_of(name)!r}, which this release has not",
                do=f"leave it out: --methods {','.join(other for other in asked if method_of(other) in METHODS)}",
            )
    if len(set(asked)) != len(asked):
        raise RecipeError(f"a method is named twice in {', '.join(asked)}", do="name each once")
    if len(asked) < 2:
        raise RecipeError(
            f"a comparison takes two methods or more, not {len(asked)}", do="name them, as in --methods dpo,ppo"
        )
    return asked


def check_tables(recipe: Recipe) -> None:
    """Every ``[compare.…]`` table is of a method or of ``online``, and sets no number of steps.

    Raises:
        RecipeError: names the table and the key.
    """
    for table, changes in recipe.compare.items():
        if table != ONLINE and table not in known_methods():
            raise RecipeError(
                f"[compare.{table}] is of no method", do=f"call it after one of {ONLINE}, {', '.join(known_methods())}"
            )
        for key in changes:
            if key in _DECIDED or (key == "loss" and table in NAMED):
                raise RecipeError(
                    f"[compare.{table}] sets {key}, which the comparison decides",
                    do="take it out: phase.max_steps of the recipe says how many preferences every method is shown",
                )
            if key not in Phase.model_fields:
                raise RecipeError(
                    f"[compare.{table}] has the key {key!r}, which no phase has", do="see docs/recipes.md"
                )


def phase_for(name: str, recipe: Recipe) -> Phase:
    """The recipe's phase as this method would train it.

    Raises:
        RecipeError: the method needs what recipe and tables don't give, or a table sets what it ignores.
    """
    given, method = recipe.phase[0], METHODS[method_of(name)]
    own = name_of(given) == name
    special = frozenset[str]().union(*(one.fields for one in METHODS.values()), {"loss", "method"})
    values = {key: value for key, value in given.model_dump(exclude_unset=True).items() if own or key not in special}
    values |= NAMED.get(name, {"method": name})
    if own and given.loss:
        values["loss"] = given.loss
    if "reward" in method.fields:
        shared = {key: getattr(given, key) for key in _REWARDED if key in given.model_fields_set}
        shared |= recipe.compare.get(ONLINE, {})
        values |= {key: value for key, value in shared.items() if key in method.fields or key not in special}
        if "lora" in values:  # it compares the policy with itself
            values["lora"] = {**values["lora"], "dropout": 0.0}
    values |= recipe.compare.get(name, {})
    try:
        return Phase.model_validate(values)
    except ValidationError as error:
        what = "; ".join(
            ".".join(map(str, one["loc"])) + (": " if one["loc"] else "") + one["msg"] for one in error.errors()
        )
        raise RecipeError(
            f"the method {name} can't be made of the recipe {recipe.name}: {what}",
            do=f"mend [compare.{name}] (or [compare.{ONLINE}]) of the recipe, or say it for this comparison: --set "
            + (f"'compare.{ONLINE}.reward=[\"exact_number\"]'" if "reward" in what else f"compare.{name}.KEY=VALUE"),
        ) from None


def shared_lines(lines: Iterable[bytes], phases: Sequence[Phase]) -> Iterator[bytes]:
    """The training lines that every one of the phases learns from: pairs, with a truth where one of them needs it.

    Labels are left out: of a pair every method here learns, and KTO takes its two answers for two labels.
    """
    truth = any(phase.needs_truth for phase in phases)
    for line in lines:
        if line.strip() and (has_truth(line) or not truth) and (is_plain(line) or not is_label(json.loads(line))):
            yield line


def preference_budget(phases: Sequence[Phase], wanted: int, available: int) -> int:
    """How many preferences each method is shown: what the recipe wants, of what there is, in whole batches of all.

    An offline method is shown a pair; one that draws its own answers is shown the pair's prompt, and its truth where
    its reward compares with one. Answers that it draws are no preferences: they are what it costs.

    Raises:
        RecipeError: not one batch.
    """
    batch = math.lcm(*(phase.batch_size for phase in phases))
    pairs = min(wanted, available) // batch * batch
    if pairs < 1:
        raise RecipeError(
            f"{available} training pairs that all methods can learn from, and {wanted} wanted, don't fill a batch that "
            f"all methods share ({batch})",
            do="bring more pairs (with a `truth`, where a reward compares with one), or set alike batch sizes in "
            "[compare.…]",
        )
    return pairs


def within_budget(phase: Phase, pairs: int) -> Phase:
    """The phase with as many steps as the budget's pairs take, once each; to rejection sampling prompts are shown."""
    unbounded = phase.model_copy(update={"max_steps": pairs * phase.epochs})
    return phase.model_copy(update={"max_steps": unbounded.steps_of(pairs)})
