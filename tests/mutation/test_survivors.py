"""Mutation testing itself: survivors.md names mutants of today's code, and what tests miss is said to survive."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mutants import entry_of, listed, mutants_of
from tests.mutation.run import LISTING, MODULES, ROOT, file_of_tests

LISTED = listed(LISTING.read_text())


@pytest.mark.parametrize("module", sorted({one.key.module for one in LISTED}))
def test_every_listed_survivor_is_a_mutant_of_the_present_code(module: str) -> None:
    keys = {one.key for one in LISTED if one.key.module == module}
    places = {(key.before, key.operator) for key in keys}
    made = {one.key for one in mutants_of(ROOT, module, lambda line, name: (line, name) in places)}
    assert keys - made == set(), "changed since: run `make test-mutation` and mend tests/mutation/survivors.md"


def test_no_survivor_is_listed_twice() -> None:
    keys = [one.key for one in LISTED]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test_file_of_its_name(module: str) -> None:
    assert (ROOT / file_of_tests(module)).exists()


@pytest.mark.parametrize(
    "text",
    [
        "## m.py\n- `a` → `b` (AddNot)",
        "No input reaches it.\n- `a` → `b` (AddNot)",
        "## m.py\nBecause.\n## n.py\n- `a` → `b` (AddNot)",
        "## m.py\nBecause.\n- a becomes b",
    ],
)
def test_a_survivor_without_module_or_reason_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no survivor"):
        listed(text)


MODULE = '''"""A module 1 + 1."""

LIMIT = 6 / 1


def share(part: int | None, whole: int) -> float:
    """Half is 1 / 2."""
    if whole == 0:
        return 0.0
    return part / whole
'''

TEST = """
from shares import LIMIT, share

def test_share():
    assert share(1, 4) == 0.25
    assert share(4, 0) == 0.0
    assert LIMIT == 6
"""

RUN = """
import json, sys
from pathlib import Path
from tests.mutation.mutants import entry_of, mutants_of
from tests.mutation.run import run_module

made = mutants_of(Path.cwd(), "shares.py")
counted, survivors = run_module(Path.cwd(), "shares.py", ["test_shares.py"], made)
print(json.dumps([[entry_of(one.key) for one in some] for some in (made, counted, survivors)]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for file, text in {"shares.py": MODULE, "tests/conftest.py": "", "test_shares.py": TEST}.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    return tmp_path


def test_mutants_change_what_runs_and_nothing_else(project: Path) -> None:
    made = mutants_of(project, "shares.py")
    assert {one.line for one in made} == {3, 8, 9, 10}
    entries = [entry_of(one.key) for one in made]
    assert "- `share`: `return part / whole` → `return part * whole` (ReplaceBinaryOperator_Div_Mul)" in entries
    assert "- `share`: `return 0.0` → `return 1.0` (NumberReplacer)" in entries
    assert len({one.source for one in made}) == len(made)
    listing = "## shares.py\nA reason.\n" + "\n".join(entries)
    assert [one.key for one in listed(listing)] == [one.key for one in made]


def test_what_tests_miss_survives_and_what_cannot_be_imported_does_not_count(project: Path) -> None:
    path = json.dumps(str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {path})\n{RUN}"],
        cwd=project, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    made, counted, survivors = json.loads(done.stdout.splitlines()[-1])
    assert [one for one in made if one not in counted] == ["- `LIMIT = 6 / 1` → `LIMIT = 6 / 0` (NumberReplacer)"]
    assert survivors == [
        "- `LIMIT = 6 / 1` → `LIMIT = 6 * 1` (ReplaceBinaryOperator_Div_Mul)",
        "- `share`: `if whole == 0:` → `if whole <= 0:` (ReplaceComparisonOperator_Eq_LtE)",
    ]
    assert (project / "shares.py").read_text() == MODULE
