"""The options of ``nightshift gate``: parsing only."""

import argparse


def add_gate_commands(root: argparse.ArgumentParser, demo: str) -> None:
    """The sub-commands of ``nightshift gate``."""
    commands = root.add_subparsers(dest="gate_command", required=True, metavar="action")

    def command(name: str, help_: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=help_, description=help_)
        one.add_argument("recipe", nargs="?", default=demo)
        return one

    planned = command(
        "plan", "items, measure, margin and budget with which an unchanged model passes everything jointly"
    )
    planned.add_argument("--goal", type=float, default=0.8, help="that probability (default 0.8)")
    planned.add_argument("--json", action="store_true", help="one JSON object")
    rotated = command("rotate", "retire a share of the items and let fresh ones in, from the next night on")
    rotated.add_argument("--suite", action="append", default=[], help="this suite only; repeatable")
    anchored = command("reanchor", "make the champion the anchor; its loss is added to the lifetime loss")
    for one in (rotated, anchored):
        one.add_argument("--reason", required=True, help="why, for the ledger and every later report")
