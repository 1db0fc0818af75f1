"""A recipe's pools in turn: where one is down or its queue too long, the step goes to the next."""

from collections.abc import Callable
from typing import TypeVar

from infra.errors import PoolBusy
from tasks.errors import PoolDown
from tasks.recipe import Recipe

Result = TypeVar("Result")


def in_turn(
    recipe: Recipe,
    step: Callable[[Recipe], Result],
    say: Callable[[str], None],
    afford: Callable[[Recipe], object] = lambda recipe: None,
) -> tuple[Recipe, Result]:
    """Run a step on the first of the recipe's pools that takes it.

    Args:
        step: gets the recipe with the pool that it is to use.
        afford: asked before the night goes to another pool; raises where the budget does not allow that one.

    Returns:
        The recipe with the pool that took it, and the step's result.

    Raises:
        PoolBusy, PoolDown: of the last pool, where none takes it. What else a step raises is not another pool's matter:
            a night over its budget, or a program's own error, is raised at once.
    """
    pools = (recipe.pool, *recipe.fallback_pools)
    for number, pool in enumerate(pools):
        rest = pools[number + 1 :]
        here = recipe.model_copy(update={"pool": pool, "fallback_pools": rest})
        try:
            if number:
                afford(here)
            return here, step(here)
        except (PoolBusy, PoolDown) as error:
            if not rest:
                raise
            say(f"{error.what}; the night goes to the pool {rest[0]}")
    raise AssertionError("a recipe has at least one pool")


__all__ = ["in_turn"]
