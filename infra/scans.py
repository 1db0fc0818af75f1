"""Two scans of `make check`: packages with known holes (pip-audit), and secrets in the checkout (detect-secrets).

    python -m infra.scans secrets [--accept] | audit [--required]

Neither sends anything of the checkout anywhere: the audit asks PyPI's public service about names and versions.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infra.dependencies import LOCK, ROOT, TORCH_LOCK, only
from infra.errors import DependencyError, NightshiftError, SecretFound

BASELINE = ".secrets.baseline"
ACCEPTED = ".ci/accepted-vulnerabilities.txt"
# lists of digests: nothing but what looks like a secret
NOT_SCANNED = (LOCK, TORCH_LOCK, BASELINE)
_PROBE = "setuptools"


class Secret(NamedTuple):
    """Something that looks like a secret. Where in the file it stands is no part of what it is."""

    file: str
    kind: str
    sha1: str


class Audit(NamedTuple):
    vulnerable: tuple[str, ...]
    unanswered: tuple[str, ...]  # packages that the service said nothing about
    answered: int


# ---- secrets ---------------------------------------------------------------------------------------------------------


def secrets_of(report: Mapping[str, Any]) -> dict[Secret, int]:
    """What a report of detect-secrets names, and on which line."""
    return {
        Secret(file, one["type"], one["hashed_secret"]): one["line_number"]
        for file, found in report["results"].items()
        for one in found
    }


def refuse_secrets(found: Mapping[Secret, int], known: Iterable[Secret]) -> list[str]:
    """Those that are in no baseline, by file and line; never the secret itself."""
    new = sorted(set(found) - set(known))
    return [f"{one.file}:{found[one]} ({one.kind})" for one in new]


def scan_secrets(*, accept: bool, root: Path = ROOT) -> str:
    """Look through all files that are, or could be, committed.

    Args:
        accept: write what is found into the baseline instead of refusing it.

    Raises:
        SecretFound: something looks like a secret and isn't in the baseline.
    """
    baseline = root / BASELINE
    report = _detect(_files(root), root)
    if accept:
        kept = {name: report[name] for name in ("version", "plugins_used", "filters_used", "results")}
        baseline.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        return f"{len(secrets_of(report))} findings are in {BASELINE} now: look at each in the diff"
    if not baseline.is_file():
        raise SecretFound(f"there is no {BASELINE}", do="write it: python -m infra.scans secrets --accept")
    problems = refuse_secrets(secrets_of(report), secrets_of(json.loads(baseline.read_text())))
    if problems:
        raise SecretFound(
            f"{len(problems)} new finding(s) look like a secret: {', '.join(problems)}",
            do="take it out and revoke it; where it is an example, `python -m infra.scans secrets --accept`",
        )
    return "no new secret in the checkout"


def _files(root: Path) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted(set(listed.stdout.split("\0")) - {"", *NOT_SCANNED})
    return [name for name in names if (root / name).is_file()]


def _detect(files: list[str], root: Path) -> dict[str, Any]:
    # its own filter of files that look generated would leave some out: those to leave out are named above
    command = [sys.executable, "-m", "detect_secrets", "-c", "2", "scan", "--no-verify", *files]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SecretFound(
            f"the scanner failed, nothing was looked at: {done.stderr.strip()[-1000:]}", do="run `make setup`"
        )
    return json.loads(done.stdout)


# ---- packages with known holes ---------------------------------------------------------------------------------------


def read_audit(report: Mapping[str, Any], accepted: Iterable[str] = ()) -> Audit:
    """What pip-audit's JSON says. A package that it skipped was not looked at: it isn't fine.

    Args:
        accepted: ids of vulnerabilities that were looked at and don't apply.
    """
    allowed = set(accepted)
    vulnerable, unanswered, answered = [], [], 0
    for package in report["dependencies"]:
        if "skip_reason" in package:
            unanswered.append(package["name"])
            continue
        answered += 1
        for hole in package["vulns"]:
            if not allowed & {hole["id"], *hole.get("aliases", ())}:
                fixed = f", fixed in {', '.join(hole['fix_versions'])}" if hole.get("fix_versions") else ""
                vulnerable.append(f"{package['name']} {package['version']}: {hole['id']}{fixed}")
    return Audit(tuple(vulnerable), tuple(unanswered), answered)


def read_accepted(text: str) -> list[str]:
    """Ids of ``.ci/accepted-vulnerabilities.txt``: one a line, each with its reason.

    Raises:
        DependencyError: one has no reason.
    """
    ids = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        one, _, reason = line.partition(" ")
        if not reason.strip():
            raise DependencyError(f"{ACCEPTED}: {one} is accepted without a reason", do="write why after the id")
        ids.append(one)
    return ids


def audit(*, required: bool) -> str:
    """Ask about every locked package.

    Args:
        required: a service that doesn't answer is an error, and no mere notice.

    Raises:
        DependencyError: a package has a known hole; or, where required, some were not looked at.
    """
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.lock"
        probe.write_text(only([_PROBE]) + "\n")
        # one question first: three hundred to a service that isn't there take minutes and tell nothing
        first, why = _ask([probe])
        found, why = _ask([ROOT / LOCK, ROOT / TORCH_LOCK]) if first and read_audit(first).answered else (None, why)
    if found is None:
        return _not_audited(f"the vulnerability service does not answer ({why})", required)
    result = read_audit(found, read_accepted((ROOT / ACCEPTED).read_text()))
    if result.vulnerable:
        raise DependencyError(
            f"packages with known holes: {'; '.join(result.vulnerable)}",
            do=f"raise them in constraints.txt and `make lock`; or accept one, with its reason, in {ACCEPTED}",
        )
    if result.unanswered:
        return _not_audited(f"the service knows nothing of {', '.join(result.unanswered)}", required)
    return f"{result.answered} packages, no known hole"


def _not_audited(why: str, required: bool) -> str:
    if required:
        raise DependencyError(
            f"NOT AUDITED: {why}", do="run it where the service can be reached, or without AUDIT=required"
        )
    return f"NOT AUDITED: {why}. `make check AUDIT=required` makes this an error"


def _ask(locks: list[Path]) -> tuple[dict[str, Any] | None, str]:
    """pip-audit's report, or None and why there is none."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-s", "pypi", "-f", "json"]
    command += ["--progress-spinner", "off", "--desc", "off", "--timeout", "15"]
    command += [part for lock in locks for part in ("-r", str(lock))]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    except subprocess.TimeoutExpired:
        return None, "no answer within 15 minutes"
    try:
        return json.loads(done.stdout), "it knows none of the packages asked about"
    except ValueError:
        last = done.stderr.strip().splitlines()
        return None, last[-1][:300] if last else f"pip-audit ended with {done.returncode}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.scans", description="scans of `make check`")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secrets").add_argument("--accept", action="store_true", help="write the baseline")
    commands.add_parser("audit").add_argument("--required", action="store_true", help="no answer is an error")
    options = parser.parse_args(arguments)
    try:
        if options.command == "secrets":
            print(f"secrets: {scan_secrets(accept=options.accept)}")
        else:
            print(f"audit: {audit(required=options.required)}")
    except NightshiftError as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
