"""The folder of a model as it serves: the merged model bit for bit, made once, whole or not at all, checked at use."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM

from infra.errors import StoreError
from infra.pools import default_pool
from infra.pools.base import Program
from infra.pools.local import LocalPool
from infra.store import Store
from tasks.contracts import Model
from tasks.errors import ModelError
from tasks.lm import served as serving
from tasks.lm.merge_program import main
from tasks.lm.merged import check_folder, first_change, merged_folder, tree_of
from tasks.lm.served import first_difference, load_as_served, same_bits
from tests.unit.lm.test_loading import make_adapter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("NIGHTSHIFT_THREADS", "1")
    return Store(home / "store")


@pytest.fixture
def trained(tiny_model: Path, tmp_path: Path, store: Store) -> Model:
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    (adapter / "README.md").unlink(missing_ok=True)
    return Model(base=store.put_tree(tiny_model), adapter=store.put_tree(adapter))


class InProcess(LocalPool):
    """Runs programs in the test's own process, which saves their imports, and counts them."""

    runs: int = 0

    def run(self, program: Program, on_event: Any) -> None:
        self.runs += 1
        main(program.spec, program.result)


@pytest.fixture(autouse=True)
def _no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the test's own process, the program must not end it when stdin closes."""
    monkeypatch.setattr("tasks.lm.merge_program.die_with_parent", lambda: None)


def merged(model: Model, home: Path, store: Store, pool: Any = None, **how: Any) -> Path:
    return merged_folder(model, home, store, pool or InProcess(), lambda event: None, **how)


def test_the_folder_holds_pefts_merge_bit_for_bit_and_the_bases_own_tokenizer(
    trained: Model, tiny_model: Path, tmp_path: Path, home: Path, store: Store
) -> None:
    folder = merged(trained, home, store)
    peft = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(tiny_model), tmp_path / "adapter")
    theirs = peft.merge_and_unload().state_dict()  # pyright: ignore[reportCallIssue]
    ours = load_file(folder / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(same_bits(ours[name], theirs[name]) for name in ours)
    name = "model.layers.0.mlp.down_proj.weight"
    assert not torch.equal(ours[name], load_file(tiny_model / "model.safetensors")[name])
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (tiny_model / name).read_bytes(), name
    assert AutoTokenizer.from_pretrained(folder).chat_template is not None
    # nothing that needs code to be read, and nothing beside the model
    assert {file.suffix for file in folder.iterdir()} <= {".safetensors", ".json", ".jinja"}
    assert not any(file.stat().st_mode & 0o222 for file in folder.iterdir())


def test_it_is_made_once_and_a_changed_file_is_refused_by_name(trained: Model, home: Path, store: Store) -> None:
    pool = InProcess()
    folder = merged(trained, home, store, pool)
    assert merged(trained, home, store, pool) == folder
    assert pool.runs == 1
    weights = folder / "model.safetensors"
    weights.chmod(0o644)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"was changed after it was checked: model\.safetensors is sha256:"):
        merged(trained, home, store, pool)
    assert pool.runs == 1
    shutil.rmtree(folder)
    assert merged(trained, home, store, pool) == folder
    assert pool.runs == 2


def test_a_file_that_was_added_or_removed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    noted = tree_of(tmp_path)
    check_folder(tmp_path, noted)
    (tmp_path / "model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match=r"model\.bin is no file of it"):
        check_folder(tmp_path, noted)
    assert first_change(noted, tree_of(tmp_path)) == "model.bin is missing"


def test_a_folder_left_by_a_kill_before_it_was_noted_is_made_anew(trained: Model, home: Path, store: Store) -> None:
    folder = merged(trained, home, store)
    folder.with_name(f"{folder.name}.json").unlink()
    (folder / "half").write_text("of a killed attempt")
    pool = InProcess()
    assert merged(trained, home, store, pool) == folder
    assert pool.runs == 1
    assert not (folder / "half").exists()


def test_an_attempt_that_fails_leaves_no_folder(
    trained: Model, home: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: LocalPool, program: Program, on_event: Any) -> None:
        spec = json.loads(Path(program.spec).read_text())
        (Path(spec["folder"]) / "model.safetensors").write_bytes(b"half")
        Path(program.result).write_text(json.dumps({"problem": {"what": "the disk is full", "do": "free space"}}))

    monkeypatch.setattr(InProcess, "run", broken)
    with pytest.raises(ModelError, match="the disk is full\n  -> free space"):
        merged(trained, home, store)
    assert [path.name for path in (home / "models").iterdir() if not path.name.startswith(".")] == []
    assert list((home / "work").glob("*-merged*")) == []


def test_a_changed_adapter_in_the_store_is_refused_before_anything_is_merged(
    trained: Model, home: Path, store: Store
) -> None:
    assert trained.adapter is not None
    weights = next(file for file in trained.adapter.files if file.path.endswith(".safetensors"))
    path = store.path(weights.digest_)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    pool = InProcess()
    with pytest.raises(StoreError, match="has been changed"):
        merged(trained, home, store, pool)
    assert pool.runs == 0


def test_a_base_model_is_its_own_files(tiny_model: Path, home: Path, store: Store) -> None:
    pool = InProcess()
    folder = merged(Model(base=store.put_tree(tiny_model)), home, store, pool)
    assert tree_of(folder).digest_ == store.put_tree(tiny_model).digest_
    assert pool.runs == 0


def test_quantised_weights_are_written_as_gguf_rounds_them_and_beside_the_others(
    trained: Model, home: Path, store: Store
) -> None:
    plain = load_file(merged(trained, home, store) / "model.safetensors")
    rounded = load_file(merged(trained, home, store, quantise="Q8_0") / "model.safetensors")
    name = "model.layers.0.mlp.down_proj.weight"
    kind = GGMLQuantizationType.Q8_0
    expected = dequantize(quantize(plain[name].numpy(), kind), kind)
    assert torch.equal(rounded[name], torch.from_numpy(expected))
    assert not torch.equal(rounded[name], plain[name])


def test_a_merge_that_is_another_model_is_refused_by_the_parity_rule(
    trained: Model, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = serving.load_model

    def bent(base: Path, adapter: Path | None, dtype: torch.dtype, device: str) -> Any:
        model = real(base, adapter, dtype, device)
        inner = model.merge_and_unload

        def merge() -> Any:
            merged = inner()
            merged.model.layers[0].mlp.down_proj.weight.data *= 1.5
            return merged

        model.merge_and_unload = merge
        return model

    monkeypatch.setattr(serving, "load_model", bent)
    with pytest.raises(ModelError, match="another one than base and adapter"):
        load_as_served(tiny_model, tmp_path / "adapter", torch.float32, "cpu")


def test_a_model_that_answers_nan_is_refused(trained: Model, tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({name: torch.full_like(weight, float("nan")) for name, weight in weights.items()}, file)
    with pytest.raises(ModelError, match="not finite"):
        load_as_served(tiny_model, tmp_path / "adapter", torch.float32, "cpu")


def program(tmp_path: Path, **spec: Any) -> dict[str, Any]:
    """What the program says of a spec, run in this process."""
    (tmp_path / "spec.json").write_text(json.dumps(spec | {"folder": str(tmp_path / "out"), "threads": 1}))
    main(str(tmp_path / "spec.json"), str(tmp_path / "result.json"))
    return json.loads((tmp_path / "result.json").read_text())


@pytest.mark.parametrize("damage", ["a bit", "a missing weight", "a foreign weight"])
def test_a_folder_that_was_not_written_as_merged_is_refused(
    damage: str, trained: Model, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = LlamaForCausalLM.save_pretrained

    def lossy(self: Any, folder: Path) -> None:
        save(self, folder)
        file = Path(folder) / "model.safetensors"
        weights = load_file(file)
        if damage == "a bit":
            flat = weights["model.norm.weight"].view(torch.int32)
            flat[0] ^= 1
        elif damage == "a missing weight":
            weights.pop("model.norm.weight")
        else:
            weights["model.extra.weight"] = torch.zeros(1)
        save_file(weights, file, metadata={"format": "pt"})

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", lossy)
    result = program(tmp_path, base=str(tiny_model), adapter=str(tmp_path / "adapter"), dtype="float32", quantise=None)
    said = {
        "a bit": "model.norm.weight differs",
        "a missing weight": "model.norm.weight is missing",
        "a foreign weight": "model.extra.weight is no weight of it",
    }
    assert said[damage] in result["problem"]["what"]


def test_a_tied_head_is_no_missing_weight(tmp_path: Path) -> None:
    weight = torch.rand(4, 4)
    save_file({"embedding": weight}, tmp_path / "model.safetensors")
    assert first_difference({"embedding": weight, "head": weight}, tmp_path) is None
    assert first_difference({"embedding": weight, "head": weight.clone()}, tmp_path) == "head is missing"


def test_equal_numbers_of_other_bits_are_not_the_same() -> None:
    assert same_bits(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64))
    assert not same_bits(torch.tensor([1.0]), torch.tensor([[1.0]]))


@pytest.mark.slow  # a process that imports torch and transformers
def test_a_damaged_adapter_is_one_readable_error_not_a_traceback(
    tiny_model: Path, tmp_path: Path, home: Path, store: Store
) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    weights.pop(sorted(weights)[0])
    save_file(weights, file)
    model = Model(base=store.put_tree(tiny_model), adapter=store.put_tree(adapter))
    with pytest.raises(ModelError, match="doesn't fit the base model") as refused:
        merged(model, home, store, default_pool("local"))
    assert "Traceback" not in str(refused.value)
