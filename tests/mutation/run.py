"""Mutation testing: change a module in one place, run its tests, and see them fail.

    python tests/mutation/run.py                          # the modules of MODULES
    python tests/mutation/run.py tasks/gate/verdict.py    # any module; its tests are tests/unit/gate/test_verdict.py
    python tests/mutation/run.py --listed                 # only what survivors.md names: does it still survive?

Cosmic Ray makes the mutants (tests/mutation/mutants.py); its own runner starts Python and imports scipy for each, so
here a parent that has the libraries loaded forks a child a mutant, which loads the mutated source in place of the file:
nothing is written to the checkout. Tests run fastest first, up to the first that fails. Hypothesis draws the same
examples each time. A mutant that can't be imported isn't counted; one that runs out of CPU time is killed.

Exit status 1 where fewer than 95 % of a module's mutants are killed, or survivors.md and the survivors differ. The last
line is one JSON object, {module: {mutants, killed, rate}}.
"""

import argparse
import ast
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.mutation.mutants import Mutant, entry_of, listed, mutants_of  # noqa: E402

MODULES = tuple(
    f"tasks/gate/{name}.py" for name in ("statistics", "clusters", "sequential", "samples", "wear", "verdict")
)
LISTING = ROOT / "tests/mutation/survivors.md"
WANTED = 0.95
LIMIT = "the limit of CPU time"
MEMORY = 8 * 2**30  # bytes; a mutant may ask for any amount

# of pytest's start, that takes longer than most tests, only what these tests need
QUICK = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "--disable-plugin-autoload",
         "--assert=plain")  # fmt: skip

FORK = multiprocessing.get_context("fork")


class Outcome(NamedTuple):
    """``state``: survived, killed (``by`` a test, or by the limit), or stillborn: the module can't be imported."""

    state: str
    by: str = ""


class Baseline(NamedTuple):
    """The unchanged module: seconds of each test, and CPU seconds of all."""

    seconds: dict[str, float]
    cpu: float


class Watch:
    """A pytest plugin: fastest tests first; remembers the first that fails, and how long each takes."""

    def __init__(self, known: dict[str, float]) -> None:
        self.known = known
        self.seconds: dict[str, float] = {}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.known.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or f"{report.nodeid} (collection)"


class Mutated(importlib.machinery.SourceFileLoader):
    """Finder and loader of one module from another source than its file's."""

    source = ""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


def file_of_tests(module: str) -> str:
    """The test file of a module: tests/unit mirrors tasks/."""
    path = Path(module)
    return Path("tests/unit", *path.parts[1:-1], f"test_{path.name}").as_posix()


def preload(root: Path, module: str, tests: Sequence[str]) -> None:
    """Import what module and tests import, so that children needn't.

    Of what is ours only what the module imports, and infra: the rest may import the module itself.
    """
    for file in (module, "tests/conftest.py", *tests):
        for node in ast.walk(ast.parse((root / file).read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in filter(None, names):
                top = name.split(".")[0]
                if file == module or top == "infra" or not ((root / top).exists() or (root / f"{top}.py").exists()):
                    importlib.import_module(name)
    if _dotted(module) in sys.modules:
        raise RuntimeError(f"{module} is imported by what it imports: its mutants would not be loaded")


def _dotted(module: str) -> str:
    return module.removesuffix(".py").replace("/", ".")


def examine(
    root: Path, module: str, source: str, tests: Sequence[str], baseline: Baseline | None = None
) -> tuple[Outcome, Baseline]:
    """Run tests with this source of a module, in a child: what became of it, and how long the tests took.

    Raises:
        RuntimeError: the child ended without an answer, for another reason than its limit: that kills no mutant.
    """
    # CPU time and not the clock's: others may use the machine
    limit = 600 if baseline is None else int(3 * baseline.cpu) + 10
    here, there = FORK.Pipe(duplex=False)
    known = baseline.seconds if baseline else {}
    child = FORK.Process(target=_child, args=(root, module, source, list(tests), known, limit, there))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child.start()
    there.close()
    state, by, seconds = "killed", LIMIT, {}
    with suppress(EOFError):
        state, by, seconds = here.recv()
    child.join()
    if state not in ("survived", "killed", "stillborn") or (by == LIMIT and child.exitcode != -signal.SIGXCPU):
        raise RuntimeError(f"the tests of {module} ended with {state} and exit code {child.exitcode}; run again")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Outcome(state, by), Baseline(seconds, cpu)


def _child(
    root: Path,
    module: str,
    source: str,
    tests: list[str],
    known: dict[str, float],
    limit: int,
    answer: Connection,
) -> None:
    gc.freeze()  # nothing that was loaded is looked through again, nor its pages copied
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.chdir(root)
    _same_examples()
    loader = Mutated(_dotted(module), str(root / module))
    loader.source = source
    sys.meta_path.insert(0, loader)  # pyright: ignore[reportArgumentType]
    try:
        importlib.import_module(_dotted(module))
    except Exception as error:  # noqa: BLE001 - whatever a mutant raises when it is imported
        answer.send(("stillborn", repr(error), {}))
        return
    watch = Watch(known)
    status = pytest.main([*tests, *QUICK, "--rootdir", str(root)], plugins=[watch])
    state = "survived" if status == 0 else "killed" if watch.failed else f"pytest's status {status}"
    answer.send((state, watch.failed, watch.seconds))


def _same_examples() -> None:
    """Hypothesis: the same examples each time, no deadline on a busy machine, nothing shrunk."""
    settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")


def run_module(
    root: Path, module: str, tests: Sequence[str], mutants: Sequence[Mutant]
) -> tuple[list[Mutant], list[Mutant]]:
    """Examine mutants one by one; the counted ones, and those that survived.

    Raises:
        RuntimeError: the unchanged module's tests fail: nothing could be said of mutants.
    """
    preload(root, module, tests)
    outcome, baseline = examine(root, module, (root / module).read_text(), tests)
    if outcome.state != "survived":
        raise RuntimeError(f"tests of the unchanged {module} fail: {outcome.by}; mend them first")
    print(f"{module}: {len(mutants)} mutants, {len(baseline.seconds)} tests in {baseline.cpu:.1f} s", flush=True)
    counted, survivors, began = [], [], time.perf_counter()
    for number, mutant in enumerate(mutants, 1):
        outcome, _ = examine(root, module, mutant.source, tests, baseline)
        if outcome.state != "stillborn":
            counted.append(mutant)
        if outcome.state == "survived":
            survivors.append(mutant)
            print(f"  survived: line {mutant.line}, {entry_of(mutant.key)}", flush=True)
        if outcome.by == LIMIT:
            print(f"  ran out of time: line {mutant.line}, {entry_of(mutant.key)}", flush=True)
        if number % 50 == 0:
            print(f"  {number} of {len(mutants)}, {time.perf_counter() - began:.0f} s", flush=True)
    return counted, survivors


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=MODULES, help="paths from the checkout's root")
    parser.add_argument("--tests", nargs="+", help="test files, for one module whose tests have another name")
    parser.add_argument("--listed", action="store_true", help="only the mutants that survivors.md names")
    options = parser.parse_args(arguments)
    if len(options.modules) > 1:
        return run_each(options.modules, ["--listed"] if options.listed else [])
    (module,) = options.modules
    known = {one.key for one in listed(LISTING.read_text())}
    mutants = mutants_of(ROOT, module)
    if options.listed:
        mutants = [mutant for mutant in mutants if mutant.key in known]
    counted, survivors = run_module(ROOT, module, options.tests or [file_of_tests(module)], mutants)
    names = {mutant.key for mutant in survivors}
    expected = {mutant.key for mutant in mutants} & known
    for what, keys in (
        ("not in survivors.md", names - expected),
        ("in survivors.md, but killed", expected - names),
    ):
        if keys:
            print("\n".join([f"{what}:", *sorted(map(entry_of, keys))]))
    killed = len(counted) - len(survivors)
    rate = killed / max(len(counted), 1)
    print(json.dumps({module: {"mutants": len(counted), "killed": killed, "rate": round(rate, 4)}}))
    return 0 if names == expected and (options.listed or rate >= WANTED) else 1


def run_each(modules: Sequence[str], options: Sequence[str]) -> int:
    """A process for each module: one that an earlier module's tests had loaded could not be replaced any more."""
    figures: dict[str, Any] = {}
    fine = True
    for module in modules:
        command = [sys.executable, __file__, module, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = ""
            for line in process.stdout:
                print(line, end="", flush=True)
        fine &= process.returncode == 0
        figures |= json.loads(line) if line.startswith("{") else {module: "its run failed"}
    print(json.dumps(figures))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
