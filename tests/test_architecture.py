"""The tree's rules, read from the imports: which way data flows, and where each heavy library lives."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from infra.settings import ROOT, child_environment, load_settings

PACKAGES = ("flows", "tasks", "infra", "expectations")

# who may import whom (DESIGN §3): data flows one way
ARROWS = {
    "flows": {"flows", "tasks", "infra"},
    "tasks": {"tasks", "infra", "expectations"},
    "infra": {"infra"},
    "expectations": {"expectations"},
}

# what areas of tasks/ share; everything else of another area reaches an area as a contract
SHARED = {
    "chained", "compared", "contracts", "data_spec",
    "errors", "harden_spec", "method_table",
    "recipe", "parts", "phases", "place", "portability", "probes", "lm", "receipts", "release",
    "spending", "trainable", "turns",
}  # fmt: skip

# one home a library: folders (or files) that may import it
HOMES = {
    "prefect": ("flows/", "infra/"),
    "mlflow": ("infra/mlflow_requests.py", "infra/registry_guard/", "infra/tracking.py", "tasks/registry/client.py"),
    "sqlalchemy": ("infra/registry_guard/tables.py",),
    "great_expectations": ("expectations/data/", "tasks/data/judge_profile.py"),
    "ibis": ("tasks/data/",),
    "duckdb": ("tasks/data/",),
    "pandas": ("tasks/data/",),
    "pyspark": ("tasks/data/spark/",),
    "py4j": ("tasks/data/spark/",),
    "pyarrow": ("tasks/data/",),
    "tokenizers": ("tasks/data/",),
    "lxml": ("tasks/data/documents/",),
    "markdown_it": ("tasks/data/documents/",),
    "pypdf": ("tasks/data/documents/",),
    "backports": ("tasks/data/sources/unpacking.py",),
    "trl": ("tasks/align/",),
    "datasets": ("tasks/align/",),
    "peft": ("tasks/align/", "tasks/lm/"),
    "transformers": ("tasks/align/", "tasks/lm/"),
    "torch": ("tasks/align/", "tasks/lm/", "tasks/gate/scoring_engine.py"),
    "py3langid": ("tasks/lm/language.py",),
    "lm_eval": ("tasks/gate/foreign/",),
    "inspect_ai": ("tasks/gate/foreign/",),
    "scipy": ("tasks/compare/", "tasks/data/", "tasks/gate/"),
    "rensa": ("tasks/data/features/",),
    "jinja2": ("infra/pages.py", "tasks/lm/template.py"),
    "phonenumbers": ("tasks/data/personal/contact.py",),
    "stdnum": ("tasks/data/personal/numbers.py",),
    "detect_secrets": ("tasks/data/personal/secrets.py",),
    "zeus": ("infra/energy.py",),
    "pynvml": ("infra/gauges.py",),
    "amdsmi": ("infra/gauges.py",),
    "boto3": ("infra/objects/",),
    "botocore": ("infra/objects/",),
    "securesystemslib": ("infra/signing.py",),
    "cryptography": ("infra/signing.py",),
    "psutil": ("infra/",),
    "prometheus_client": ("infra/exposition.py",),
    "kubernetes_validate": ("infra/targets/kubernetes.py",),
    "kubernetes_asyncio": ("infra/kubernetes/",),
    "prefect_kubernetes": ("infra/kubernetes/",),
    "aiohttp": ("infra/kubernetes/",),
    "jsonschema": ("infra/kubernetes/validate.py", "tasks/align/rewards/verifiers.py"),
    "httpx": ("infra/", "tasks/gate/judge_model.py"),
}

# run as processes of their own, with neither orchestrator nor registry
PROGRAMS = (
    "infra/job_program.py",
    "tasks/align/program.py",
    "tasks/align/rewards/worker.py",
    "tasks/gate/foreign/program.py",
    "tasks/gate/scoring_program.py",
    "tasks/lm/answer_program.py",
    "tasks/lm/ask_program.py",
    "tasks/lm/import_program.py",
    "tasks/lm/merge_program.py",
    "tasks/lm/serve_program.py",
    "tasks/lm/soup_program.py",
)

ENVIRONMENT = "infra/settings.py"


class Import(NamedTuple):
    file: str
    line: int
    module: str  # dotted; with the imported name where that is a module of ours
    at_start: bool  # not inside a function, not for type checkers only


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    file = path.relative_to(root).as_posix()
    tree = ast.parse(path.read_text())
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, id(node) not in late)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            for alias in node.names:
                yield Import(file, node.lineno, f"{node.module}.{alias.name}", id(node) not in late)


def all_imports(root: Path) -> list[Import]:
    return [
        found
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
        for found in imports_of(path, root)
    ]


def wrong_arrows(found: list[Import]) -> list[str]:
    """Imports against the direction of data, or from one area of tasks/ into another."""
    wrong = []
    for one in found:
        source, target = one.file.split("/"), one.module.split(".")
        if target[0] not in PACKAGES:
            continue
        where = f"{one.file}:{one.line} imports {one.module}"
        if target[0] not in ARROWS[source[0]]:
            wrong.append(f"{where}: no arrow leads from {source[0]} to {target[0]}")
        elif source[0] == target[0] == "tasks" and len(source) > 2 and target[1] not in {*SHARED, source[1]}:
            wrong.append(f"{where}: areas meet in contracts, not in each other")
        elif source[0] == target[0] == "tasks" and source[1] == "lm" and target[1] not in {"lm", "contracts", "errors"}:
            wrong.append(f"{where}: lm is shared, so it knows no area")
    return wrong


def wrong_homes(found: list[Import]) -> list[str]:
    """Libraries imported outside their home."""
    return [
        f"{one.file}:{one.line} imports {one.module}: its home is {', '.join(HOMES[library])}"
        for one in found
        if (library := one.module.split(".")[0]) in HOMES and not one.file.startswith(HOMES[library])
    ]


def reachable(found: list[Import], program: str) -> set[str]:
    """Modules that a program imports at its start, through ours, and those it imports itself."""
    by_file: dict[str, list[Import]] = {}
    for one in found:
        by_file.setdefault(one.file, []).append(one)
    seen: set[str] = set()
    files = [program]
    while files:
        for one in by_file.get(files.pop(), []):
            if not one.at_start and one.file != program:
                continue
            for module in (one.module, one.module.rpartition(".")[0]):
                if module and module not in seen:
                    seen.add(module)
                    path = module.replace(".", "/")
                    files += [f"{path}.py", f"{path}/__init__.py"]
    return {module.split(".")[0] for module in seen}


def environment_readers(root: Path) -> list[str]:
    """Files that read or write environment variables."""
    return [
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
        if any(
            isinstance(node, ast.Attribute)
            and node.attr in {"environ", "getenv", "putenv"}
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]


OURS = all_imports(ROOT)


def test_data_flows_one_way_and_areas_meet_only_in_contracts() -> None:
    assert len(OURS) > 300  # the walk found the tree
    assert wrong_arrows(OURS) == []


def test_every_heavy_library_is_imported_in_its_home_only() -> None:
    assert wrong_homes(OURS) == []
    used = {one.module.split(".")[0] for one in OURS}
    assert sorted(set(HOMES) - used) in ([], ["duckdb"])  # duckdb is reached through ibis


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_reach_neither_prefect_nor_mlflow(program: str) -> None:
    assert (ROOT / program).is_file()
    assert reachable(OURS, program) & {"prefect", "mlflow"} == set()


def test_flows_import_no_deep_learning_library_even_through_others() -> None:
    for path in sorted((ROOT / "flows").glob("*.py")):
        reached = reachable(OURS, path.relative_to(ROOT).as_posix())
        assert reached & {"torch", "transformers", "trl", "peft", "datasets"} == set(), path.name


def test_only_settings_reads_the_environment() -> None:
    assert environment_readers(ROOT) == [ENVIRONMENT]


def test_the_night_fits_on_one_screen() -> None:
    assert len((ROOT / "flows" / "nightly.py").read_text().splitlines()) < 100


def test_the_help_imports_no_library_that_costs_seconds() -> None:
    code = (
        "import sys\nfrom flows.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *(sys.modules.keys() & {'prefect', 'mlflow', 'torch', 'pydantic', 'trl', 'datasets', 'ibis'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=child_environment(load_settings()),
    )
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert "approve" in done.stdout


def plant(root: Path, file: str, text: str) -> list[Import]:
    for package in PACKAGES:
        (root / package).mkdir(parents=True, exist_ok=True)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)
    return all_imports(root)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("infra/store.py", "from tasks.contracts import Night\n"),
        ("infra/store.py", "def late():\n    import flows.nightly\n"),
        ("expectations/data/pairs.py", "from infra.digest import Record\n"),
        ("tasks/gate/judge.py", "import flows.frame\n"),
        ("tasks/gate/judge.py", "from tasks.align import train\n"),
        ("tasks/lm/loading.py", "from tasks.gate.suites import Suite\n"),
        ("flows/nightly.py", "from expectations.data import pairs\n"),
    ],
)
def test_a_reversed_arrow_is_reported_with_file_and_line(tmp_path: Path, file: str, text: str) -> None:
    (problem,) = wrong_arrows(plant(tmp_path, file, text))
    line = 2 if text.startswith("def") else 1
    assert problem.startswith(f"{file}:{line} imports ")


def test_a_library_outside_its_home_is_reported(tmp_path: Path) -> None:
    (problem,) = wrong_homes(plant(tmp_path, "tasks/gate/judge.py", "def late():\n    import mlflow\n"))
    assert problem.startswith("tasks/gate/judge.py:2 imports mlflow")


def test_a_program_that_reaches_mlflow_through_a_helper_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "tasks/align/helper.py", "import mlflow\n")
    found = plant(tmp_path, "tasks/align/program.py", "from tasks.align.helper import go\n")
    assert "mlflow" in reachable(found, "tasks/align/program.py")


def test_a_second_reader_of_the_environment_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "infra/lock.py", "import os\nHOME = os.environ['HOME']\n")
    assert environment_readers(tmp_path) == ["infra/lock.py"]
