"""``nightshift receipt``: its options, and the call of one flow."""

import argparse
import json
from collections.abc import Callable


def add_receipt_command(command: Callable[[str, str], argparse.ArgumentParser], demo: str) -> None:
    """The options of the command."""
    one = command("receipt", "the first steps of tonight's training on two pools: do losses and log-probs agree?")
    one.add_argument("recipe", nargs="?", default=demo)
    one.add_argument("--pools", metavar="A,B", required=True, help="the two pools, by the names a recipe calls them")
    one.add_argument("--steps", type=int, default=20, help="how many steps both take (default 20)")
    one.add_argument("--phase", type=int, default=1, help="which of the recipe's phases (default 1)")
    one.add_argument(
        "--set", action="append", default=[], metavar="key=value", dest="overrides", help="as for `nightshift run`"
    )
    one.add_argument("--json", action="store_true", help="one JSON object")


def _receipt(options: argparse.Namespace) -> int:
    """1 where the two disagree."""
    from flows.calls import call_flow, recipe_path
    from flows.receipts import receipt
    from tasks.portability import in_words
    from tasks.receipts import Receipt

    pools = [name.strip() for name in options.pools.split(",") if name.strip()]
    made = call_flow(
        receipt,
        recipe=recipe_path(options.recipe),
        overrides=options.overrides,
        pools=pools,
        steps=options.steps,
        phase=options.phase,
    )
    found = Receipt.model_validate(made["receipt"])
    print(json.dumps(made) if options.json else f"{in_words(found)}\n{made['file']}: kept")
    return 0 if found.finding.agrees else 1


RECEIPT: dict[str, Callable[[argparse.Namespace], int]] = {"receipt": _receipt}
