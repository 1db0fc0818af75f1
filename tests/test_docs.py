"""Docs that can go stale: generated pages, the README's map, links."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from infra.settings import ROOT


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


@pytest.mark.parametrize("page", GENERATOR.PAGES)
def test_generated_pages_say_what_the_code_declares(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == GENERATOR.PAGES[page](), "run: python docs/generate.py"


def test_every_setting_and_recipe_key_is_described() -> None:
    assert "None |" not in GENERATOR.settings_page() + GENERATOR.recipes_page()


def _tracked() -> set[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {Path(line) for line in listed.stdout.splitlines()}


def test_the_readme_map_names_every_folder_and_module_and_nothing_else() -> None:
    block = re.search(r"## The map\n.*?```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    named: set[str] = set()
    folder = ""
    for line in block.group(1).splitlines():
        entry = line.split()[0] if line.strip() else ""
        if line and not line.startswith(" "):
            folder = entry
            named.add(entry)
        elif entry:
            named.add(folder + entry)
    tracked = _tracked()
    for entry in named:
        assert any(str(path).startswith(entry) for path in tracked), f"README names {entry}, which doesn't exist"
    for path in tracked:
        top = path.parts[0]
        if (
            len(path.parts) == 2
            and top in {"flows", "infra", "tasks"}
            and path.suffix == ".py"
            and path.name != "__init__.py"
        ):
            assert str(path) in named, f"README's map lacks {path}"
        if len(path.parts) > 1 and not top.startswith("."):
            assert f"{top}/" in named, f"README's map lacks {top}/"


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def _named_tests(page: str) -> list[str]:
    return re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", page)


def _missing_tests(named: list[str], root: Path) -> list[str]:
    """Those that are no test function of the file they name."""
    missing = []
    for one in named:
        file, _, function = one.partition("::")
        path = root / file
        found = re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE) if path.is_file() else []
        if not function or function not in found:
            missing.append(one)
    return missing


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = _named_tests((ROOT / "docs" / "threat-model.md").read_text())
    assert len(named) > 40
    assert _missing_tests(named, ROOT) == []


def test_every_row_of_the_threat_model_says_what_shows_it() -> None:
    rows = [line for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines() if line.startswith("| ")]
    for row in rows:
        assert row.startswith("| who |") or _named_tests(row), row


def test_a_test_that_does_not_exist_is_found(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text("def test_there() -> None: ...\n")
    page = (
        "`tests/test_x.py::test_there`, `tests/test_x.py::test_gone`, `tests/test_y.py::test_there`, `tests/test_x.py`"
    )
    assert _missing_tests(_named_tests(page), tmp_path) == [
        "tests/test_x.py::test_gone",
        "tests/test_y.py::test_there",
        "tests/test_x.py",
    ]
