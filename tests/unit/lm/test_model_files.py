"""What a model's folder may hold: pickles, code and what names code are refused by name, before anything is loaded."""

import ast
import io
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save, save_file

from infra.digest import digest_of
from infra.pools import default_pool
from infra.settings import ROOT
from infra.store import Store, Tree, TreeFile
from tasks.contracts import Model
from tasks.errors import ModelError
from tasks.lm.base import base_model, checkout, refuse_model
from tasks.lm.loading import find_source, load_model, load_tokenizer
from tasks.lm.model_files import (
    PICKLES,
    check_model_folder,
    refuse_config,
    refuse_content,
    refuse_folder,
    refuse_index,
    refuse_safetensors,
    refuse_unsafe,
)


class Bomb:
    """Unpickled, it makes a folder: the code that must not run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    return folder


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"weights{ending}" for ending in PICKLES])
def test_a_pickle_is_refused_by_its_name(name: str) -> None:
    assert f"{name} is a pickle" in str(refuse_unsafe(["config.json", name]))


@pytest.mark.parametrize(
    "name",
    ["PYTORCH_MODEL.BIN", "x.Pt", "deep/er/training_args.bin", "a\\b.pkl", "x.bin.", "x.pth ", "x.safetensors.bin"],
)
def test_case_folders_and_trailing_dots_hide_no_pickle(name: str) -> None:
    assert "is a pickle" in str(refuse_unsafe([name]))


@pytest.mark.parametrize("name", ["modeling_x.py", "custom_generate/generate.PY", "ext.so", "setup.sh"])
def test_code_is_refused_by_its_name(name: str) -> None:
    assert f"{name} is code" in str(refuse_unsafe([name]))


@pytest.mark.parametrize(
    "name", ["model.safetensors", "bin", "tokenizer.model", "bin.json", "LICENSE", "merges.txt", "x.gguf", "README.md"]
)
def test_what_a_model_needs_may_lie_there(name: str) -> None:
    assert refuse_unsafe([name]) is None


# ---- folders: every way in -----------------------------------------------------------------------------------------

Plant = Callable[[Path, Path], None]


def plant_pickle(folder: Path, mark: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))


def plant_torch_archive(folder: Path, mark: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, folder / "weights.dat")


def plant_renamed_pickle(folder: Path, mark: Path) -> None:
    (folder / "notes.txt").write_bytes(pickle.dumps(Bomb(mark)))


def plant_pickle_as_safetensors(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(mark)))


def plant_objects(folder: Path, mark: Path) -> None:
    np.save(folder / "table.npy", np.array([Bomb(mark)], dtype=object), allow_pickle=True)


def plant_code(folder: Path, mark: Path) -> None:
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")


def plant_auto_map(folder: Path, mark: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "configuration_x.X", "AutoModelForCausalLM": "modeling_x.X"}
    (folder / "config.json").write_text(json.dumps(config))


def plant_tokenizer_auto_map(folder: Path, mark: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["auto_map"] = {"AutoTokenizer": ["tokenization_x.X", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def plant_link(folder: Path, mark: Path) -> None:
    (folder / "tokenizer.model").symlink_to("/etc/passwd")


def plant_linked_folder(folder: Path, mark: Path) -> None:
    (folder / "more").symlink_to("/etc")


def plant_cut_weights(folder: Path, mark: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


PLANTS: dict[str, tuple[Plant, str]] = {
    "pickle": (plant_pickle, r"pytorch_model\.bin is a pickle by its name"),
    "torch archive": (plant_torch_archive, r"weights\.dat is a zip archive"),
    "renamed pickle": (plant_renamed_pickle, r"notes\.txt is a pickle by its first bytes"),
    "pickle as safetensors": (plant_pickle_as_safetensors, r"model\.safetensors claims a header|cut short|no JSON"),
    "objects": (plant_objects, r"table\.npy is a numpy file of Python objects"),
    "code": (plant_code, r"custom_generate/generate\.py is code"),
    "auto_map": (plant_auto_map, r"config\.json has auto_map, which names code"),
    "tokenizer's auto_map": (plant_tokenizer_auto_map, r"tokenizer_config\.json has auto_map"),
    "link": (plant_link, r"tokenizer\.model is a symbolic link out of the folder, to /etc/passwd"),
    "linked folder": (plant_linked_folder, r"more is a symbolic link out of the folder"),
    "cut weights": (plant_cut_weights, r"model\.safetensors is cut short"),
}


@pytest.mark.parametrize("kind", PLANTS)
def test_a_recipe_can_not_name_a_folder_with_a_planted_file(kind: str, model: Path, home: Path) -> None:
    plant, message = PLANTS[kind]
    mark = home / "it ran"
    plant(model, mark)
    with pytest.raises(ModelError, match=message) as caught:
        find_source(str(model), home)
    assert caught.value.do
    store = Store(home / "store")
    with pytest.raises(ModelError, match=message):
        base_model(str(model), home, home, store, default_pool("local"), lambda event: None)
    assert not mark.exists()
    assert not store.root.exists()


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_file_is_refused_again_where_the_model_is_loaded(kind: str, model: Path, home: Path) -> None:
    plant, message = PLANTS[kind]
    plant(model, home / "it ran")
    with pytest.raises(ModelError, match=message):
        load_model(model, None, torch.float32, "cpu")
    with pytest.raises(ModelError, match=message):
        load_tokenizer(model)
    assert not (home / "it ran").exists()


@pytest.mark.parametrize("key", ["auto_mapping", "megatron_config"])
def test_an_adapter_that_names_a_module_to_import_is_refused(key: str, model: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    save_file({"a": torch.zeros(1)}, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", key: {"parent_library": "evil"}}))
    with pytest.raises(ModelError, match=rf"adapter_config\.json has {key}"):
        load_model(model, adapter, torch.float32, "cpu")
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", key: None}))
    assert refuse_folder(adapter) is None


def test_a_folder_of_pickles_alone_is_told_to_convert_not_that_it_lacks_safetensors(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match="is a pickle") as caught:
        find_source(str(model), model.parent)
    assert "convert the weights to safetensors" in caught.value.do


def test_a_gguf_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(pickle.dumps(Bomb(tmp_path / "it ran")))
    with pytest.raises(ModelError, match="is no GGUF file"):
        find_source(str(tmp_path / "x.gguf"), tmp_path)


def test_the_hubs_cache_with_its_links_to_blobs_is_taken(model: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--x" / "snapshots" / "abc"
    blobs = tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(model.iterdir())):
        shutil.copyfile(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert find_source(str(snapshot), tmp_path) == snapshot
    (blobs / "out").symlink_to("/etc/passwd")
    (snapshot / "tokenizer.model").symlink_to("../../blobs/out")
    with pytest.raises(ModelError, match="symbolic link out of the folder"):
        find_source(str(snapshot), tmp_path)


def test_the_models_that_we_save_ourselves_are_taken(tiny_model: Path) -> None:
    check_model_folder(tiny_model)


# ---- models of the store, as a tampered registry tag could name them ------------------------------------------------


def tree_of(store: Store, files: dict[str, bytes]) -> Tree:
    listed = []
    for name, data in files.items():
        blob = store.put_bytes(data)
        listed.append(TreeFile(path=name, digest_=blob.digest_, size=blob.size))
    return Tree(digest_=digest_of(listed), files=tuple(listed))


def test_a_model_of_the_store_with_a_pickle_is_neither_laid_out_nor_promotable(model: Path, home: Path) -> None:
    store = Store(home / "store")
    good = store.put_tree(model)
    evil = Model(base=good, adapter=tree_of(store, {"adapter_model.bin": pickle.dumps(Bomb(home / "it ran"))}))
    assert "adapter_model.bin is a pickle" in str(refuse_model(evil))
    assert refuse_model(Model(base=good)) is None
    with pytest.raises(ModelError, match=r"adapter_model\.bin is a pickle"):
        checkout(evil, home, store)
    assert not list((home / "work").rglob("adapter_model.bin"))


def test_a_model_of_the_store_whose_config_names_code_is_not_loaded(home: Path) -> None:
    store = Store(home / "store")
    evil = Model(base=tree_of(store, {"config.json": b'{"auto_map": {"AutoConfig": "x.X"}}'}))
    with pytest.raises(ModelError, match="has auto_map"):
        checkout(evil, home, store)


def test_a_file_that_somebody_put_beside_a_laid_out_model_is_found(model: Path, home: Path) -> None:
    store = Store(home / "store")
    good = Model(base=store.put_tree(model))
    folder, _ = checkout(good, home, store)
    (folder / "modeling_evil.py").write_text("")
    with pytest.raises(ModelError, match=r"modeling_evil\.py is code"):
        checkout(good, home, store)


def test_a_damaged_list_of_an_imported_model_is_named(model: Path, home: Path) -> None:
    store = Store(home / "store")
    base_model(str(model), home, home, store, default_pool("local"), lambda event: None)
    (known,) = (path for path in (home / "models").iterdir() if not path.stem.endswith("-licence"))
    known.write_text(known.read_text().replace('"config.json"', '"../config.json"'))
    with pytest.raises(ModelError, match=r"'\.\./config\.json' leads out of its folder"):
        base_model(str(model), home, home, store, default_pool("local"), lambda event: None)


# ---- configurations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"auto_map": {"AutoConfig": "x.X"}}', "has auto_map"),
        (b'{"text_config": {"auto_map": {"AutoConfig": "x.X"}}}', "has auto_map"),
        (b'{"a": [{"trust_remote_code": true}]}', "has trust_remote_code"),
        (b'{"auto_map": "x.X", "auto_map": null, "b": {"custom_generate": "x"}}', "has custom_generate"),
        (b"[]", "is no JSON object"),
        (b"{", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_a_configuration_that_names_code_or_is_none_is_refused(data: bytes, message: str) -> None:
    assert message in str(refuse_config("config.json", data))


@pytest.mark.parametrize("data", [b"{}", b'{"auto_map": null}', b'{"auto_map": {}}', b'{"trust_remote_code": false}'])
def test_an_empty_auto_map_is_none(data: bytes) -> None:
    assert refuse_config("config.json", data) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"weight_map": {"a": "../../other/model.safetensors"}}', "leads out of its folder"),
        (b'{"weight_map": {"a": "/etc/x.safetensors"}}', "is absolute"),
        (b'{"weight_map": {"a": 3}}', "no weight_map"),
        (b"{}", "no weight_map"),
    ],
)
def test_a_list_of_shards_that_lie_elsewhere_is_refused(data: bytes, message: str) -> None:
    assert message in str(refuse_index("model.safetensors.index.json", data))
    assert refuse_index("i", b'{"weight_map": {"a": "model-1-of-1.safetensors"}}') is None


# ---- safetensors headers -------------------------------------------------------------------------------------------


def refused(data: bytes) -> str | None:
    return refuse_safetensors("m.safetensors", io.BytesIO(data), len(data))


def with_header(header: object, room: int = 0) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + b"\0" * room


WHOLE = save({"a": torch.zeros(3, 2), "b": torch.ones(5, dtype=torch.bfloat16), "c": torch.zeros(0)}, {"format": "pt"})


def test_a_whole_file_passes() -> None:
    assert refused(WHOLE) is None
    assert refused(with_header({})) is None


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\x00" * 7, "has 7 bytes"),
        (struct.pack("<Q", 1 << 62), "claims a header of 4611686018427387904 bytes"),
        (struct.pack("<Q", 100_000_001) + b"{}", "claims a header"),
        (struct.pack("<Q", 50) + b"{}", "is cut short"),
        (struct.pack("<Q", 3) + b"{}", "is cut short: its header takes 3 bytes, the file has 10"),
        (with_header(b"not json"), "no JSON"),
        (with_header(b"[" * 50_000), "no JSON"),
        (with_header([]), "no JSON object"),
        (with_header(b'{"a":1,"a":2}'), "a name is there twice"),
        (with_header("{}".encode("utf-16")), "no JSON"),
        (with_header({"__metadata__": {"format": 1}}), "__metadata__ is not text"),
        (WHOLE[:-1], "is cut short"),
        (WHOLE + b"\0", "belong to no tensor"),
        (with_header({"a": F32 | {"dtype": "PICKLE"}}, 8), "'a' has no valid type"),
        (with_header({"a": F32 | {"shape": [-2]}}, 8), "'a' has no valid"),
        (with_header({"a": F32 | {"shape": [3]}}, 8), "'a' has no valid"),
        (with_header({"a": F32 | {"data_offsets": [8, 0]}}, 8), "'a' has no valid"),
        (with_header({"a": F32 | {"data_offsets": [-8, 0]}}, 8), "'a' has no valid"),
        (with_header({"a": F32, "b": F32}, 8), "overlap or leave a gap"),
        (with_header({"a": F32 | {"data_offsets": [8, 16]}}, 16), "leave a gap"),
    ],
)
def test_a_header_that_lies_is_refused(data: bytes, message: str) -> None:
    assert message in str(refused(data))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_what_passes_is_read_by_the_library_too(tmp_path: Path, place: int, byte: int) -> None:
    data = WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :]
    if refused(data) is None:
        (tmp_path / "m.safetensors").write_bytes(data)
        with safe_open(tmp_path / "m.safetensors", "pt") as file:
            assert len(list(file.keys())) == 3


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_every_binary_protocol_is_known_by_its_first_bytes(protocol: int) -> None:
    assert "is a pickle" in str(refuse_content("x.txt", pickle.dumps({"a": 1}, protocol=protocol)))


@pytest.mark.parametrize("data", [b"", b"\x80", b"plain text", b'{"a": 1}', b"\x0a\x07unigram", "ü".encode()])
def test_text_and_tokenizer_models_are_no_pickles(data: bytes) -> None:
    assert refuse_content("x", data) is None


def test_a_numpy_file_of_numbers_may_lie_there(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.save(tmp_path / "b.npy", np.zeros(3, dtype=[("Ok", "f4")]))
    assert refuse_content("a.npy", (tmp_path / "a.npy").read_bytes()) is None


# ---- our own calls -------------------------------------------------------------------------------------------------

# classes of transformers that look for code in a model's folder when they are told to trust it
AUTO = ("AutoModel", "AutoTokenizer", "AutoConfig", "AutoProcessor")


def calls(root: Path) -> list[tuple[str, ast.Call]]:
    return [
        (f"{path.relative_to(root).as_posix()}:{node.lineno}", node)
        for package in ("flows", "tasks", "infra", "expectations", "benchmarks")
        for path in sorted((root / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def given_to(call: ast.Call, name: str) -> object:
    """The constant a keyword has; ``...`` where it isn't given or isn't a constant."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else ...
    return ...


def unsafe_calls(root: Path) -> list[str]:
    """Calls that could run what a model's author wrote."""
    found = []
    for where, call in calls(root):
        name = ast.unparse(call.func)
        unpacked = any(keyword.arg is None for keyword in call.keywords)
        if any(word.arg == "trust_remote_code" for word in call.keywords):
            if given_to(call, "trust_remote_code") is not False:
                found.append(f"{where} trusts remote code")
        elif name.startswith(AUTO) and name.endswith(".from_pretrained") and not unpacked:
            found.append(f"{where} doesn't say trust_remote_code=False")
        if name == "torch.load" and given_to(call, "weights_only") is not True:
            found.append(f"{where} reads a pickle with torch.load")
        if name in ("np.load", "numpy.load") and given_to(call, "allow_pickle") is not False:
            found.append(f"{where} lets numpy read pickles")
        if name.partition(".")[0] in ("pickle", "cloudpickle", "dill", "joblib") and "load" in name:
            found.append(f"{where} reads a pickle")
        if name.endswith((".extractall", ".extract", "unpack_archive")):
            found.append(f"{where} extracts an archive by its members' names")
    return found


def test_no_call_of_ours_trusts_remote_code_or_reads_a_pickle() -> None:
    assert len(calls(ROOT)) > 3000
    assert unsafe_calls(ROOT) == []


def test_nothing_of_ours_sets_trust_remote_code_in_a_dictionary_either() -> None:
    for package in ("flows", "tasks", "infra", "expectations", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Dict):
                    for key, value in zip(node.keys, node.values, strict=True):
                        if isinstance(key, ast.Constant) and key.value == "trust_remote_code":
                            assert isinstance(value, ast.Constant), path
                            assert value.value is False, path


@pytest.mark.parametrize(
    "line",
    [
        "AutoModelForCausalLM.from_pretrained(x, trust_remote_code=True)",
        "AutoModelForCausalLM.from_pretrained(x, trust_remote_code=setting)",
        "AutoTokenizer.from_pretrained(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "pickle.loads(x)",
        "tarfile.open(x).extractall(y)",
        "shutil.unpack_archive(x)",
    ],
)
def test_an_unsafe_call_is_found_with_file_and_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "x.py").write_text(f"\n{line}\n")
    (problem,) = unsafe_calls(tmp_path)
    assert problem.startswith("tasks/x.py:2 ")
