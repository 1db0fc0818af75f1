"""``nightshift audit`` and ``nightshift drill``. They need no Prefect: an audit must work when nothing else does."""

import argparse
import json
from collections.abc import Callable


def add_audit_commands(command: Callable[[str, str], argparse.ArgumentParser], demo: str) -> None:
    """The options of both."""
    audit = command("audit", "compare the registry with its records and name every difference; 1 where one is critical")
    audit.add_argument("--name", default="all", help="registered model (the recipe's name), or `all`")
    audit.add_argument("--json", action="store_true", help="one JSON object")
    audit.add_argument(
        "--close", metavar="INCIDENT", help="close an incident, with your name, and release what it held"
    )
    audit.add_argument("--reason", default="", help="why it is closed")
    drill = command("drill", "prove on a shadow alias that a rollback works, and how long it takes")
    drill.add_argument("--name", default=demo, help="registered model (the recipe's name)")


def _audit(options: argparse.Namespace) -> int:
    from tasks.registry import audit_steps as steps
    from tasks.registry.audit_words import in_words, summary

    if options.close is not None:
        print(steps.close(options.close, options.reason))
        return 0
    report = steps.audit(options.name)
    print(json.dumps(summary(report)) if options.json else in_words(report))
    return 1 if report.critical else 0


def _drill(options: argparse.Namespace) -> int:
    from tasks.registry import audit_steps as steps

    done = steps.drill(options.name)
    print(
        f"rolling {done.name} back from version {done.champion} to {done.previous} works and takes {done.seconds:.2f} s"
    )
    return 0


AUDIT: dict[str, Callable[[argparse.Namespace], int]] = {"audit": _audit, "drill": _drill}
