"""What an export may hold: files of a list, whole, and what their names say."""

import json
import pickle
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.digest import digest_file
from tasks.errors import ExportError
from tasks.registry.export_files import OWN, Source, check_files, refuse_content, refuse_name, refuse_names
from tests.export_shop import safetensors


def sources(folder: Path, files: dict[str, bytes]) -> dict[str, Source]:
    found = {}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        found[name] = Source(folder / name, digest_file(folder / name), len(data))
    return found


MODEL = {"model.safetensors": safetensors(), "config.json": b"{}", "tokenizer.json": b"{}", "chat_template.jinja": b"x"}


def test_the_files_of_a_model_are_taken(tmp_path: Path) -> None:
    more = {"LICENSE": b"text", "NOTICE.txt": b"text", "tokenizer.model": b"\n\x07", "merges.txt": b"a b"}
    check_files(sources(tmp_path, MODEL | more), "version 2")


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "optimizer.pt", "x.pth", "weights.pkl", "a.ckpt", "x.pickle", "X.BIN", "a.npz", "m.h5"],
)
def test_export_refuses_a_pickle_file_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match=f"version 2 can't be exported: {name} may hold a pickle"):
        check_files(sources(tmp_path, {**MODEL, name: b"x"}), "version 2")


@pytest.mark.parametrize("name", ["modeling_llama.py", "setup.sh", "kernel.so"])
def test_export_refuses_code_by_name(name: str) -> None:
    assert "is code" in (refuse_name(name) or "")


@pytest.mark.parametrize(
    "name",
    ["../config.json", "a/config.json", "a\\config.json", "/etc/passwd", "", ".", "..", ".env", "-rf.json", "a\0.json",
     "conf ig.json", "c\n.json", "café.json", "a" * 129 + ".json", "model.safetensors.exe", "README.txt", "weights"],
)  # fmt: skip
def test_export_refuses_a_name_that_leaves_the_folder_or_is_on_no_list(name: str) -> None:
    assert refuse_name(name) is not None


@pytest.mark.parametrize("name", OWN)
def test_a_model_may_not_bring_a_file_that_the_export_writes(name: str) -> None:
    assert "writes itself" in (refuse_name(name) or "")


def test_names_that_differ_by_case_only_are_refused_also_against_our_own() -> None:
    assert "differ by case only" in (refuse_names(["config.json", "Config.json"]) or "")
    assert "differ by case only" in (refuse_names(["Manifest.json"]) or "")


@given(st.text(max_size=60))
def test_whatever_name_is_taken_is_a_plain_file_name_with_a_known_ending(name: str) -> None:
    if refuse_name(name) is None:
        assert Path(name).name == name
        assert name.isascii()
        assert name.isprintable()
        assert not name.startswith((".", "-"))
        assert name not in OWN


@given(st.from_regex(r"\A[A-Za-z0-9._-]{0,20}\.(json|safetensors|jinja|bin|PY|so|pt|txt)\Z"))
def test_no_name_that_loads_code_is_taken_however_it_begins(name: str) -> None:
    taken = refuse_name(name) is None
    assert not (taken and name.lower().endswith((".bin", ".py", ".so", ".pt")))


def test_weights_that_are_a_pickle_are_refused_though_their_name_is_right(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"w": list(range(100))}))
    assert "is no safetensors file" in (refuse_content("model.safetensors", tmp_path / "model.safetensors") or "")


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 7, b"\0" * 8, struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 2) + b"[]",
     struct.pack("<Q", 9) + b'{"w": {}}', struct.pack("<Q", 4) + b"\xff\xfe{}", safetensors()[:-1],
     safetensors() + b"PK\x03\x04"],
)  # fmt: skip
def test_weights_that_are_cut_grown_or_no_safetensors_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    assert "safetensors file" in (refuse_content("model.safetensors", tmp_path / "model.safetensors") or "")


@given(st.binary(max_size=80))
def test_no_bytes_make_the_check_of_weights_fail_in_another_way(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(data)
    assert refuse_content("any.safetensors", path) is not None


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_config_that_asks_for_remote_code_is_refused(tmp_path: Path, name: str) -> None:
    asks = json.dumps({"auto_map": {"AutoModel": "evil--modeling.Evil"}}).encode()
    with pytest.raises(ExportError, match=f"{name} asks for code of its own"):
        check_files(sources(tmp_path, {**MODEL, name: asks}), "version 2")


def test_a_config_that_is_no_json_and_a_model_without_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"config\.json is no JSON"):
        check_files(sources(tmp_path, MODEL | {"config.json": b"{"}), "version 2")
    with pytest.raises(ExportError, match=r"no \*\.safetensors"):
        check_files(sources(tmp_path, {"config.json": b"{}"}), "version 2")
