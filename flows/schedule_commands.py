"""``nightshift schedule``: its options, and the call of one function."""

import argparse
from collections.abc import Callable


def add_schedule_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The options of the command."""
    one = command("schedule", "let a recipe's nights start by themselves, or list those that do")
    one.add_argument(
        "recipe", nargs="?", help="recipe with a [schedule]; its name will do for --remove (default: list)"
    )
    one.add_argument("--timezone", metavar="ZONE", help="IANA name, in place of the recipe's schedule.timezone")
    what = one.add_mutually_exclusive_group()
    what.add_argument("--remove", action="store_true", help="no nights by themselves any more")
    what.add_argument("--pause", action="store_true", help="none until --resume")
    what.add_argument("--resume", action="store_true", help="go on after --pause")


def _schedule(options: argparse.Namespace) -> int:
    from flows import schedules
    from flows.calls import recipe_path
    from infra.settings import ROOT, load_settings
    from tasks.errors import RecipeError
    from tasks.recipe import load_recipe

    settings = load_settings()
    if options.recipe is None:
        if options.timezone or options.remove or options.pause or options.resume:
            raise RecipeError("no recipe is named", do="name one: `nightshift schedule RECIPE`")
        print(schedules.listed(settings))
        return 0
    path = recipe_path(options.recipe)
    if options.remove:
        name = load_recipe(ROOT / path).name if path.endswith(".toml") else options.recipe
        print(schedules.unschedule(settings, name))
        return 0
    pause = True if options.pause else False if options.resume else None
    print(schedules.schedule(settings, path, timezone=options.timezone, pause=pause))
    return 0


SCHEDULE: dict[str, Callable[[argparse.Namespace], int]] = {"schedule": _schedule}
