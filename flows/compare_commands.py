"""``nightshift compare``: its options, and the call of one flow."""

import argparse
import json
from collections.abc import Callable


def add_compare_command(command: Callable[[str, str], argparse.ArgumentParser], demo: str) -> None:
    """The options of the command."""
    one = command("compare", "train several methods on the same preferences: quality, cost, stability, with intervals")
    one.add_argument("recipe", nargs="?", default=demo)
    one.add_argument(
        "--methods",
        metavar="A,B,…",
        help="the first is what the others are held against (default: dpo,ipo,kto,rejection,grpo,ppo, as far as this "
        "release has them)",
    )
    one.add_argument("--seeds", type=int, default=3, help="trainings of each method (default 3)")
    one.add_argument("--pools", metavar="A,B", default="", help="pools that each take whole seeds, at the same time")
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="key=value",
        dest="overrides",
        help="as for `nightshift run`; compare.METHOD.KEY=VALUE for one method, compare.online.KEY=VALUE for all that "
        "learn from rewards",
    )
    one.add_argument("--fresh", action="store_true", help="train again what an earlier comparison has trained")
    one.add_argument("--json", action="store_true", help="one JSON object")


def _compare(options: argparse.Namespace) -> int:
    """1 where not one training finished."""
    from flows.calls import call_flow, recipe_path
    from flows.compare import compare
    from tasks.compare.phases import default_methods
    from tasks.compare.steps import told

    made = call_flow(
        compare,
        recipe=recipe_path(options.recipe),
        overrides=options.overrides,
        methods=list(default_methods()) if options.methods is None else _names(options.methods),
        seeds=options.seeds,
        pools=_names(options.pools),
        fresh=options.fresh,
    )
    print(json.dumps(made) if options.json else told(made), end="\n" if options.json else "")
    return 0 if any(one["finished"] for one in made["figures"]["methods"]) else 1


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


COMPARE: dict[str, Callable[[argparse.Namespace], int]] = {"compare": _compare}
