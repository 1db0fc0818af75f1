"""Verifying an export: every file that was changed, removed or added is named."""

import base64
import json
from pathlib import Path

import pytest

from infra.digest import digest_bytes
from infra.objects import Objects, open_objects
from infra.settings import Settings
from infra.signing import sign_statement
from tasks.errors import ExportError
from tasks.registry.export_check import public_key, verify_export
from tasks.registry.export_files import SIGNED
from tests.export_shop import MERGED, Shop, files_in


@pytest.fixture
def exported(shop: Shop, to: Objects) -> Path:
    return Path(shop.export(to).url)


def problems(exported: Path, key: bytes, settings: Settings) -> list[str]:
    return verify_export(open_objects(str(exported), settings), key)


def test_a_whole_export_has_no_problem(exported: Path, shop: Shop, settings: Settings) -> None:
    assert problems(exported, shop.key, settings) == []


@pytest.mark.parametrize("name", sorted(MERGED - {SIGNED}))
def test_every_file_that_was_changed_or_removed_is_named(
    exported: Path, shop: Shop, settings: Settings, name: str
) -> None:
    (exported / name).write_bytes((exported / name).read_bytes() + b" ")
    (changed,) = problems(exported, shop.key, settings)
    assert changed.startswith(f"{name} was changed")
    (exported / name).unlink()
    assert problems(exported, shop.key, settings) == [f"{name} is missing"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", ".hidden", "sub/model.safetensors"])
def test_every_file_that_was_not_signed_is_named(exported: Path, shop: Shop, settings: Settings, name: str) -> None:
    (exported / name).parent.mkdir(exist_ok=True)
    (exported / name).write_bytes(b"x")
    assert problems(exported, shop.key, settings) == [f"{name} is no part of the export"]


def test_an_export_without_its_manifest_is_none(exported: Path, shop: Shop, settings: Settings) -> None:
    (exported / SIGNED).unlink()
    assert "there is no export here" in problems(exported, shop.key, settings)[0]


def test_a_changed_statement_another_key_and_nonsense_are_found(
    exported: Path, shop: Shop, settings: Settings, tmp_path: Path
) -> None:
    envelope = json.loads((exported / SIGNED).read_text())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["predicate"]["verdict"] = "FAIL"
    forged = envelope | {"payload": base64.b64encode(json.dumps(payload).encode()).decode()}
    for text in (json.dumps(forged), "{", "[]", "{}", json.dumps(envelope | {"signatures": []})):
        (exported / SIGNED).write_text(text)
        assert len(problems(exported, shop.key, settings)) == 1
    (exported / SIGNED).write_text(json.dumps(envelope))
    assert problems(exported, shop.key, settings) == []
    (tmp_path / "else").mkdir()
    sign_statement({"a": digest_bytes(b"a")}, "test://x", {}, tmp_path / "else")
    assert len(problems(exported, public_key(tmp_path / "else"), settings)) == 1


def test_a_statement_about_something_else_is_no_export(exported: Path, shop: Shop, settings: Settings) -> None:
    subjects = {name: digest_bytes(data) for name, data in files_in(exported).items() if name != SIGNED}
    other = sign_statement(subjects, "https://slsa.dev/provenance/v1", {}, shop.home)
    (exported / SIGNED).write_text(json.dumps(other))
    assert "statement of the kind" in problems(exported, shop.key, settings)[0]


def test_a_missing_public_key_says_where_it_would_lie(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"signing\.pub\.pem can't be read"):
        public_key(tmp_path)
