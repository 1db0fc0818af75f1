"""A recipe's pools in turn."""

from collections.abc import Callable

import pytest

from infra.errors import NightshiftError, PoolBusy, PoolError
from infra.settings import ROOT
from tasks.errors import OverBudget, PlanError, PoolDown
from tasks.recipe import Recipe, load_recipe
from tasks.turns import in_turn


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(ROOT / "recipes" / "demo.toml").model_copy(
        update={"pool": "amd-slurm", "fallback_pools": ("slurm", "nvidia-kubernetes")}
    )


def failing(**errors: NightshiftError) -> Callable[[Recipe], str]:
    """A step that fails on the pools named, by their first letter."""

    def step(recipe: Recipe) -> str:
        if (error := errors.get(recipe.pool[0])) is not None:
            raise error
        return f"done on {recipe.pool}"

    return step


BUSY, DOWN = PoolBusy("full", do="wait"), PoolDown("down", do="mend")


def test_a_pool_that_takes_the_step_is_kept_with_the_others_behind_it(recipe: Recipe) -> None:
    said: list[str] = []
    assert in_turn(recipe, failing(), said.append) == (recipe, "done on amd-slurm")
    assert said == []


@pytest.mark.parametrize("error", [BUSY, DOWN])
def test_where_one_is_full_or_down_the_next_is_taken_and_it_is_said(recipe: Recipe, error: NightshiftError) -> None:
    said: list[str] = []
    here, result = in_turn(recipe, failing(a=error), said.append)
    assert (here.pool, here.fallback_pools, result) == ("slurm", ("nvidia-kubernetes",), "done on slurm")
    assert said == [f"{error.what}; the night goes to the pool slurm"]


def test_where_none_takes_it_the_last_one_s_error_is_raised(recipe: Recipe) -> None:
    with pytest.raises(PoolDown, match="down"):
        in_turn(recipe, failing(a=BUSY, s=BUSY, n=DOWN), print)


@pytest.mark.parametrize(
    "error", [PoolError("its own error", do="x"), PlanError("too dear", do="x"), OverBudget("over", do="x")]
)
def test_what_is_no_matter_of_the_pool_s_is_raised_at_once(recipe: Recipe, error: NightshiftError) -> None:
    with pytest.raises(type(error), match=error.what):
        in_turn(recipe, failing(a=error), print)


def test_a_pool_that_the_budget_does_not_allow_is_not_taken(recipe: Recipe) -> None:
    asked: list[str] = []

    def afford(recipe: Recipe) -> None:
        asked.append(recipe.pool)
        raise PlanError("too dear", do="raise the budget")

    with pytest.raises(PlanError, match="too dear"):
        in_turn(recipe, failing(a=BUSY), print, afford)
    assert asked == ["slurm"]  # the first was planned already


def test_which_pool_took_it_is_not_part_of_what_a_night_is(recipe: Recipe) -> None:
    here, _ = in_turn(recipe, failing(a=BUSY), print)
    assert here.digest == recipe.digest
