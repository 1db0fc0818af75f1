"""The ``nightshift`` command: parse, load, call one function. Imports wait until a command needs them."""

import argparse
import functools
import json
import sys
from collections.abc import Callable
from typing import Any

from flows.audit_commands import AUDIT, add_audit_commands
from flows.compare_commands import COMPARE, add_compare_command
from flows.cost_commands import COST, add_cost_commands
from flows.data_commands import DATA, add_data_commands
from flows.export_commands import EXPORT, add_export_command
from flows.gate_commands import add_gate_commands
from flows.life_commands import LIFE, add_life_commands
from flows.receipt_commands import RECEIPT, add_receipt_command
from flows.release_commands import RELEASE, add_release_commands
from flows.schedule_commands import SCHEDULE, add_schedule_commands
from flows.serving_commands import SERVING, add_serving_commands
from infra.errors import NightshiftError

DEMO = "recipes/demo.toml"


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="nightshift",
        description="Retrain a language model on the day's preferences, prove it against the one that serves, "
        "and promote it with evidence.",
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, help_: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help_, description=help_)

    init = command("init", "register the recipe's base model as the first champion and as the anchor")
    init.add_argument("recipe", nargs="?", default=DEMO)
    init.add_argument("--once", action="store_true", help="do nothing, successfully, where it was done before")
    for name, help_ in (
        ("run", "run one night now"),
        ("plan", "collect, validate and decide only: what would tonight be?"),
    ):
        one = command(name, help_)
        one.add_argument("recipe", nargs="?", default=DEMO)
        one.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="key=value",
            dest="overrides",
            help="override a recipe value; repeatable",
        )
        one.add_argument("--fresh", action="store_true", help="run finished steps again")
        if name == "plan":
            one.add_argument(
                "--pools",
                metavar="NAMES",
                help="compare pools instead: `all`, or names with commas between; what other methods would cost, too",
            )
            one.add_argument("--json", action="store_true", help="with --pools: one JSON object")
    show = command("show", "show a night's summary")
    show.add_argument("night", nargs="?", default="last", help="`last`, or a night's name")
    show.add_argument("--json", action="store_true", help="one JSON object")
    add_release_commands(command, DEMO)
    add_audit_commands(command, "demo")
    gate = command("gate", "plan the gate's power, rotate its items, re-anchor")
    add_gate_commands(gate, DEMO)
    add_export_command(command)
    add_serving_commands(command)
    add_cost_commands(command)
    add_life_commands(command)
    add_schedule_commands(command)
    add_receipt_command(command, DEMO)
    add_compare_command(command, DEMO)
    add_data_commands(command)
    command("up", "Prefect, MLflow, a worker and all deployments in this terminal, until Ctrl-C")
    doctor = command("doctor", "what this machine can do, and what is wrong with it")
    doctor.add_argument("--json", action="store_true", help="one JSON object")
    return root


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did its work, 1 with one readable error when it could not."""
    options = parser().parse_args(arguments)
    try:
        from flows.roots import check_one_root
        from infra.settings import apply_environment, load_settings

        check_one_root()
        apply_environment(load_settings())
        return COMMANDS[options.command](options)
    except NightshiftError as error:
        print(f"nightshift {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"nightshift {options.command}: stopped", file=sys.stderr)
        return 130


def _init(options: argparse.Namespace) -> int:
    from flows.initial import init_recipe

    print(init_recipe(options.recipe, once=options.once))
    return 0


def _run(options: argparse.Namespace) -> int:
    from flows.nightly import nightly

    return _night(nightly, options)


def _plan(options: argparse.Namespace) -> int:
    from flows.planning import plan_night

    if options.pools is not None:
        return _plan_pools(options)
    if options.json:
        from tasks.errors import RecipeError

        raise RecipeError("--json goes with --pools", do="add --pools all, or take `nightshift show --json`")
    return _night(plan_night, options)


def _plan_pools(options: argparse.Namespace) -> int:
    from flows.calls import call_flow
    from flows.planning import plan_pools
    from tasks.plan.comparison import Comparison
    from tasks.plan.words import comparison_in_words

    names = [name.strip() for name in options.pools.split(",") if name.strip()]
    found = call_flow(
        plan_pools, recipe=_path(options.recipe), overrides=options.overrides, pools=names, fresh=options.fresh
    )
    print(json.dumps(found) if options.json else comparison_in_words(Comparison.model_validate(found)))
    return 0


def _night(flow: Any, options: argparse.Namespace) -> int:
    from flows.calls import call_flow
    from tasks.summary import in_words

    print(in_words(call_flow(flow, recipe=_path(options.recipe), overrides=options.overrides, fresh=options.fresh)))
    return 0


def _path(recipe: str) -> str:
    from flows.calls import recipe_path

    return recipe_path(recipe)


def _show(options: argparse.Namespace) -> int:
    from infra.settings import load_settings
    from tasks.nights import read_summary
    from tasks.summary import in_words

    summary = read_summary(load_settings().home, options.night)
    print(json.dumps(summary) if options.json else in_words(summary))
    return 0


def _say(handler: Callable[[argparse.Namespace], str], options: argparse.Namespace) -> int:
    print(handler(options))
    return 0


def _gate(options: argparse.Namespace) -> int:
    print(GATE[options.gate_command](options))
    return 0


def _gate_plan(options: argparse.Namespace) -> str:
    from flows.gate import plan

    return plan(_path(options.recipe), options.goal, json_wanted=options.json)


def _gate_rotate(options: argparse.Namespace) -> str:
    from flows.calls import call_flow
    from flows.promotion import rotate

    return call_flow(rotate, recipe=_path(options.recipe), suites=options.suite, reason=options.reason)


def _gate_reanchor(options: argparse.Namespace) -> str:
    from flows.calls import call_flow
    from flows.promotion import reanchor
    from infra.settings import ROOT
    from tasks.recipe import load_recipe

    return call_flow(reanchor, name=load_recipe(ROOT / _path(options.recipe)).name, reason=options.reason)


GATE = {"plan": _gate_plan, "rotate": _gate_rotate, "reanchor": _gate_reanchor}


def _up(_: argparse.Namespace) -> int:
    from flows.schedules import deploy_all
    from infra.servers import up
    from infra.settings import load_settings

    return up(load_settings(), deploy_all)


def _doctor(options: argparse.Namespace) -> int:
    from infra.doctor import examine, in_words

    findings = examine()
    print(json.dumps([finding.model_dump() for finding in findings]) if options.json else in_words(findings))
    return 1 if any(finding.state == "wrong" for finding in findings) else 0


COMMANDS = {
    "init": _init,
    "run": _run,
    "plan": _plan,
    "show": _show,
    **{name: functools.partial(_say, handler) for name, handler in RELEASE.items()},
    **AUDIT,
    "gate": _gate,
    "up": _up,
    "doctor": _doctor,
    **EXPORT,
    **SERVING,
    **COST,
    **LIFE,
    **SCHEDULE,
    **DATA,
    **RECEIPT,
    **COMPARE,
}

if __name__ == "__main__":
    sys.exit(main())
