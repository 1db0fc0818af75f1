"""``nightshift export``: its options, and the call of one function."""

import argparse
from collections.abc import Callable
from pathlib import Path

from infra.errors import BadSetting


def add_export_command(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The options of the command."""
    export = command("export", "write an approved version as signed files, or check such files")
    export.add_argument("version", type=int, nargs="?", help="the version to export")
    export.add_argument("--name", default="demo", help="registered model (the recipe's name)")
    export.add_argument("--to", metavar="PLACE", help="a folder, or s3://bucket/prefix")
    export.add_argument(
        "--form",
        choices=("merged", "adapter"),
        default="merged",
        help="the whole model, or its adapter (default merged)",
    )
    export.add_argument("--unapproved", action="store_true", help="also what nobody has approved, marked as such")
    export.add_argument("--verify", metavar="URL", help="check an export instead: its signature and every file")
    export.add_argument("--key", type=Path, help="with --verify: the signer's public key (default: this machine's)")


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that don't go together.

    Raises:
        BadSetting: says which.
    """
    writes = {"VERSION": options.version is not None, "--to": bool(options.to), "--unapproved": options.unapproved}
    if options.verify is not None:
        given = [name for name, there in writes.items() if there]
        if given:
            raise BadSetting(f"--verify checks, and {', '.join(given)} exports", do="give the one or the other")
        if not options.verify:
            raise BadSetting("--verify names no place", do="name the folder of an export, as `export` printed it")
        return
    missing = [name for name in ("VERSION", "--to") if not writes[name]]
    if missing:
        raise BadSetting(
            f"{' and '.join(missing)} not given", do="write nightshift export VERSION --to FOLDER, or --verify URL"
        )
    if options.key is not None:
        raise BadSetting("--key is for --verify; an export is signed with this machine's own key", do="leave it out")


def _export(options: argparse.Namespace) -> int:
    from tasks.registry import steps

    check_options(options)
    if options.verify is not None:
        problems = steps.check_export(options.verify, options.key)
        print("\n".join(problems) or f"{options.verify}: signed, and every file is what was signed")
        return 1 if problems else 0
    done = steps.export(options.name, options.version, options.to, options.form, unapproved=options.unapproved)
    what = f"version {options.version} of {options.name} ({done.state})"
    print(f"{what}: {f'{len(done.sent)} files written' if done.sent else 'exported already'}, {done.url}")
    return 0


EXPORT = {"export": _export}
