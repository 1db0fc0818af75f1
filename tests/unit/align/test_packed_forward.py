"""TRL's own DPOTrainer, with and without the packed forward: the same training, metric by metric."""

import gc
import random
from collections.abc import Iterator
from inspect import getsource, signature
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer  # pyright: ignore[reportPrivateImportUsage]
from trl.trainer.dpo_trainer import DataCollatorForPreference

from infra.events import parse
from tasks.align import packed_forward
from tasks.align.packed_forward import pack_forward
from tasks.lm.attention import NAME
from tasks.lm.head import EXTRAS
from tasks.lm.packed import why_it_differs

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS, PAD = 97, 2
STEPS, BATCH = 3, 4
LOSSES = (
    "sigmoid hinge ipo exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired apo_zero apo_down discopop "
    "sigmoid_norm sft"
).split()
CLOCKS = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "eval_runtime"} | {
    "eval_samples_per_second",
    "eval_steps_per_second",
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    # caps low enough to bend the scores of so small a model
    "gemma2": {"sliding_window": 5, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 4.0},
    "gemma3_text": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "mistral": {"sliding_window": 5},
}


class Tokenised(DPOTrainer):
    """TRL's trainer, given token ids. (TRL tokenises whatever it is given.)"""

    packing = False
    packed = False

    def pack(self) -> None:
        """As the nightly trainer does it: once TRL has put its head on the model, before it needs a reference."""
        if self.packing and not self.packed:
            self.packed = True
            assert pack_forward(self.model, EXTRAS if self.use_weighting else EXTRAS[:3]) is None
            if self.ref_model is not None:
                assert pack_forward(self.ref_model, ()) is None

    def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Any:
        self.pack()
        return super()._precompute_ref_logps(*args, **kwargs)

    def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return dataset


def pairs(count: int = STEPS * BATCH, seed: int = 0) -> list[dict[str, list[int]]]:
    """Ragged pairs; some answers begin alike, are the same, are one token or one the other's beginning."""
    rng = random.Random(seed)

    def some(least: int, most: int) -> list[int]:
        return [rng.randrange(3, WORDS) for _ in range(rng.randint(least, most))]

    rows = [{"prompt_ids": some(1, 12), "chosen_ids": some(1, 14), "rejected_ids": some(1, 14)} for _ in range(count)]
    rows[0]["rejected_ids"] = rows[0]["chosen_ids"][:2] + some(3, 3)
    rows[1]["rejected_ids"] = rows[1]["chosen_ids"] + some(2, 2)
    rows[2]["rejected_ids"] = list(rows[2]["chosen_ids"])
    rows[3] |= {"prompt_ids": some(1, 1), "chosen_ids": some(1, 1), "rejected_ids": some(1, 1)}
    return rows


def tokenizer() -> PreTrainedTokenizerFast:
    words = models.WordLevel({f"w{i}": i for i in range(WORDS)}, unk_token="w0")
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(words), unk_token="w0", pad_token=f"w{PAD}", eos_token=f"w{PAD}"
    )


def build(kind: str, **changes: Any) -> Any:
    common = {
        "vocab_size": WORDS,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "initializer_range": 0.15,
        "pad_token_id": PAD,
        "bos_token_id": 1,
        "eos_token_id": PAD,
    }
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**common | MODELS.get(kind, {}) | changes)).eval()


@pytest.fixture(scope="module", autouse=True)
def _quick_training() -> Iterator[None]:
    """Every training collects garbage, which takes longer than the steps: what was imported is left out of that."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Where a model of this kind is saved; TRL loads its reference model from there."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            build(kind).save_pretrained(made[kind])
        return made[kind]

    return folder


class Packed(Tokenised):
    packing = True


def trainer(cls: type[Tokenised], folder: Path, out: Path, lora: bool, **options: Any) -> Any:
    # plain gradient descent: Adam makes steps of a full learning rate out of gradients that are rounding
    config = {
        "max_steps": STEPS,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 0.3 if lora else 0.1,
        "optim": "sgd",
        "max_grad_norm": 0.5,
        "lr_scheduler_type": "constant",
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "max_length": None,
        "beta": 0.1,
        "label_smoothing": 0.1,
    }
    args = DPOConfig(
        output_dir=str(out),
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **config | options,  # pyright: ignore[reportArgumentType]
    )
    adapter = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM") if lora else None
    one = cls(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=args,
        train_dataset=Dataset.from_list(pairs()),
        eval_dataset=Dataset.from_list(pairs(6, seed=1)),
        processing_class=tokenizer(),
        peft_config=adapter,
    )
    one.pack()
    return one


def assert_same_training(folder: Path, tmp_path: Path, lora: bool, **options: Any) -> list[dict[str, float]]:
    """Train both ways and compare every number TRL logs, and the weights; returns TRL's log."""
    plain, packed = (trainer(cls, folder, tmp_path / cls.__name__, lora, **options) for cls in (Tokenised, Packed))
    start = {name: one.detach().clone() for name, one in plain.model.named_parameters()}
    for one in (plain, packed):
        one.train()
        one.evaluate()
    ours, theirs = packed.state.log_history, plain.state.log_history
    assert len(ours) == len(theirs) == STEPS + 2
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        for key in mine.keys() - CLOCKS:
            if "accuracies" in key and abs(other[key.replace("accuracies", "margins")]) < 1e-6:
                continue  # before the first step both rewards are nought, and rounding decides which is larger
            rel = 1e-5 if key in ("loss", "eval_loss") else 1e-4
            assert mine[key] == pytest.approx(other[key], rel=rel, abs=2e-6), (key, mine["step"])
    moved = 0.0
    weights = dict(packed.model.named_parameters())
    for name, other in plain.model.named_parameters():
        torch.testing.assert_close(weights[name], other, rtol=1e-4, atol=1e-5)
        moved = max(moved, float((other - start[name]).abs().max()))
    assert moved > 1e-3, "the training did nothing"
    return theirs


# ---- the same training


@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
@pytest.mark.parametrize("kind", MODELS)
def test_every_architecture_trains_as_in_trl(kind: str, lora: bool, folders: Any, tmp_path: Path) -> None:
    log = assert_same_training(folders(kind), tmp_path, lora)
    told = {"loss", "grad_norm", "entropy", "mean_token_accuracy", "logits/chosen", "logits/rejected", "num_tokens"}
    assert told | {f"{what}/{side}" for what in ("rewards", "logps") for side in ("chosen", "rejected")} <= set(log[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_trl_trains_as_in_trl(loss: Any, folders: Any, tmp_path: Path) -> None:
    assert_same_training(folders("llama"), tmp_path, LOSSES.index(loss) % 2 == 0, loss_type=[loss])


def test_no_loss_of_trl_is_missing_here() -> None:
    from trl.trainer import dpo_trainer

    unknown = getsource(dpo_trainer).split("Unknown loss type:")[1].split("]")[0].split("[")[1]
    assert {name.strip(" '\"\n") for name in unknown.split(",")} == set(LOSSES)


@pytest.mark.parametrize(
    ("lora", "options"),
    [
        (True, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.2]}),
        (True, {"use_weighting": True}),
        # (of "sft", TRL can't weigh the pairs: it writes into a tensor that is one number, expanded)
        (False, {"use_weighting": True, "loss_type": ["ipo", "sigmoid"], "loss_weights": [0.5, 1.0]}),
        (True, {"ld_alpha": 0.5}),
        (False, {"ld_alpha": 0.5}),
        (True, {"f_divergence_type": "js_divergence"}),
        (True, {"gradient_checkpointing": True}),
        (False, {"gradient_checkpointing": True}),
        (True, {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}}),
        (True, {"precompute_ref_log_probs": True}),
        (False, {"precompute_ref_log_probs": True}),
        (True, {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2}),
        (True, {"max_length": 14}),
        (False, {"max_length": 14, "truncation_mode": "keep_end"}),
        (True, {"pad_to_multiple_of": 16}),
    ],
    ids=str,
)
def test_every_option_of_trl_trains_as_in_trl(
    lora: bool, options: dict[str, Any], folders: Any, tmp_path: Path
) -> None:
    assert_same_training(folders("llama"), tmp_path, lora, **options)


@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_a_reference_that_is_precomputed_packed_is_trls(
    lora: bool, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = packed_forward.hidden_states
    monkeypatch.setattr(packed_forward, "hidden_states", lambda *args: (calls.append(1), real(*args))[1])
    found = []
    for cls in (Tokenised, Packed):
        one = trainer(cls, folders("llama"), tmp_path / cls.__name__, lora, precompute_ref_log_probs=True)
        found.append([[row["ref_chosen_logps"], row["ref_rejected_logps"]] for row in one.train_dataset])  # pyright: ignore
        assert len(calls) == (STEPS + 1 if cls is Packed else 0), "batches for the training, and one for the evaluation"
    torch.testing.assert_close(torch.tensor(found[1]), torch.tensor(found[0]), rtol=1e-5, atol=1e-5)


# ---- single calls


@pytest.fixture
def packed_trainer(folders: Any, tmp_path: Path) -> Any:
    return trainer(Packed, folders("llama"), tmp_path, lora=True)


def batch(rows: list[dict[str, list[int]]], **options: Any) -> dict[str, torch.Tensor]:
    return DataCollatorForPreference(pad_token_id=PAD, **options)(rows)


def asked(one: dict[str, torch.Tensor]) -> dict[str, Any]:
    """As TRL calls its model."""
    return {
        "input_ids": one["input_ids"],
        "attention_mask": one["attention_mask"],
        "labels": one["input_ids"].masked_fill(one["completion_mask"] == 0, -100),
        "use_cache": False,
        "fused_lm_head": True,
    }


@pytest.mark.parametrize("extras", [EXTRAS, EXTRAS[:3], ()], ids=str)
def test_every_field_of_trls_answer_is_filled_alike(
    extras: tuple[str, ...], folders: Any, tmp_path: Path, one_thread: None
) -> None:
    from trl.trainer.utils import add_fused_lm_head

    plain, ours = (AutoModelForCausalLM.from_pretrained(folders("llama")) for _ in range(2))
    for one in (plain, ours):
        add_fused_lm_head(one, outputs=("log_probs", *extras))
    assert pack_forward(ours, extras) is None
    call = asked(batch(pairs()))
    with torch.no_grad():
        found, expected = ours(**call), plain(**call)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
        assert found[name].dtype == value.dtype


def test_rows_padded_on_the_left_are_scored_the_same(packed_trainer: Any) -> None:
    one = asked(batch(pairs()))
    left = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in one.items()}
    for row, length in enumerate(one["attention_mask"].sum(1).tolist()):
        for name in ("input_ids", "attention_mask", "labels"):
            left[name][row] = one[name][row].roll(one[name].shape[1] - length)
    with torch.no_grad():
        found, expected = (packed_trainer.model(**call).log_probs.sum(1) for call in (left, one))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_each_token_goes_through_the_model_once_and_no_padding_does(
    packed_trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    real = packed_forward.hidden_states

    def counted(model: Any, ids: torch.Tensor, layout: Any) -> torch.Tensor:
        counts.append(len(ids))
        return real(model, ids, layout)

    monkeypatch.setattr(packed_forward, "hidden_states", counted)
    rows = [
        {"prompt_ids": [5] * 10, "chosen_ids": [6, 7, 8], "rejected_ids": [9]},
        {"prompt_ids": [5, 6], "chosen_ids": [7, 8], "rejected_ids": [7, 9]},
    ]
    packed_trainer.model(**asked(batch(rows)))
    assert counts == [(10 + 3 + 1) + (2 + 1 + 1 + 1)]


@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_a_pair_of_which_no_answer_is_left_gives_a_finite_loss_that_trains_the_others(
    lora: bool, folders: Any, tmp_path: Path
) -> None:
    one = trainer(Packed, folders("llama"), tmp_path, lora)
    some = pairs()
    long = {"prompt_ids": [5] * 9, "chosen_ids": [6, 7], "rejected_ids": [8]}
    for rows, trains in (([some[4] | {"prompt_ids": [5, 6]}, long], True), ([long], False), ([long, long], False)):
        one.model.zero_grad()
        loss = one.compute_loss(one.model, batch(rows, max_length=6))
        assert torch.isfinite(loss)
        assert loss.requires_grad
        loss.backward()
        grads = [parameter.grad for parameter in one.model.parameters() if parameter.grad is not None]
        assert all(torch.isfinite(grad).all() for grad in grads)
        assert any(bool(grad.any()) for grad in grads) == trains


def test_any_other_call_is_the_models_own(folders: Any, tmp_path: Path) -> None:
    plain, ours = (trainer(cls, folders("llama"), tmp_path, lora=True) for cls in (Tokenised, Packed))
    inner, theirs = ours.model, plain.model
    whole = asked(batch(pairs(6)))
    embeds = inner.get_input_embeddings()(whole["input_ids"]).detach()  # pyright: ignore
    with torch.no_grad():
        for call in (
            {"input_ids": whole["input_ids"]},
            {"input_ids": whole["input_ids"], "attention_mask": whole["attention_mask"], "labels": whole["labels"]},
            # three rows are no pairs
            {name: value[:3] if isinstance(value, torch.Tensor) else value for name, value in whole.items()},
            {name: value for name, value in whole.items() if name != "attention_mask"},
            {name: value for name, value in whole.items() if name != "input_ids"} | {"inputs_embeds": embeds},
            whole | {"num_items_in_batch": 7},
            {name: value for name, value in whole.items() if name != "labels"}
            | {"shift_labels": whole["labels"].roll(-1, 1)},
            whole | {"position_ids": torch.arange(whole["input_ids"].shape[1])[None] + 3},
        ):
            found, expected = inner(**call), theirs(**call)
            assert type(found) is type(expected)
            for name in ("logits", "loss", "log_probs"):
                if getattr(expected, name, None) is not None:
                    torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_a_packed_model_still_writes(kind: str, folders: Any, tmp_path: Path) -> None:
    loaded: Any = [AutoModelForCausalLM.from_pretrained(folders(kind)) for _ in range(2)]
    plain, ours = loaded
    assert pack_forward(ours) is None
    # `generate` looks up there what the model takes, an attention mask for one
    assert signature(ours.forward) == signature(plain.forward)
    ids = torch.tensor([[3, 4, 14, 5, 6, 7], [8, 9, 10, 11, 12, 13]])
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    written = [
        one.generate(input_ids=ids, output_logits=True, return_dict_in_generate=True, **options).logits
        for one in (ours, plain)
    ]
    torch.testing.assert_close(*written, rtol=1e-4, atol=1e-4)


# ---- models that aren't understood


def test_a_model_that_is_not_understood_trains_by_trls_own_forward_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build("gpt_neox").save_pretrained(tmp_path / "model")
    plain, ours = (trainer(Tokenised, tmp_path / "model", tmp_path / name, lora=False) for name in ("plain", "ours"))
    capsys.readouterr()
    forward, implementation = ours.model.forward, ours.model.config._attn_implementation
    reason = pack_forward(ours.model)
    (event,) = [event for line in capsys.readouterr().out.splitlines() if (event := parse(line))]
    assert event["event"] == "log"
    assert "'gpt_neox'" in event["text"]
    assert reason is not None
    assert reason in event["text"]
    assert ours.model.forward == forward
    assert ours.model.config._attn_implementation == implementation != NAME
    for one in (plain, ours):
        one.train()
    for mine, other in zip(ours.state.log_history, plain.state.log_history, strict=True):
        assert {key: mine[key] for key in mine.keys() - CLOCKS} == {key: other[key] for key in other.keys() - CLOCKS}


@pytest.mark.parametrize("bf16", [True, False])
def test_the_forwards_are_compared_in_the_trainings_own_number_format(
    bf16: bool, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What agrees in fp32 may differ in what is trained in, and its kernels are compiled for nothing."""
    from tasks.align.trainer import NightTrainer

    formats = []

    def compared(model: Any) -> str | None:
        formats.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else model.dtype)
        return why_it_differs(model)

    monkeypatch.setattr("tasks.lm.packed.why_it_differs", compared)
    monkeypatch.setattr(NightTrainer, "_prepare_dataset", lambda self, dataset, *args: dataset)
    made = NightTrainer(
        model=AutoModelForCausalLM.from_pretrained(folders("llama"), dtype=torch.float32),
        args=DPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=bf16, report_to="none"),
        train_dataset=Dataset.from_list(pairs()),
        processing_class=tokenizer(),
        cache=None,
        max_tokens=500,
    )
    assert made.packed
    assert set(formats) == {torch.bfloat16 if bf16 else torch.float32}


def test_a_model_that_computes_otherwise_than_packed_is_left_as_it_was(
    folders: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tasks.lm import attention

    right = attention._by_document
    monkeypatch.setattr(attention, "_by_document", lambda *args: right(*args) * 1.5)
    model = AutoModelForCausalLM.from_pretrained(folders("llama"))
    before, forward = model.config._attn_implementation, model.forward
    assert "nats a token" in str(pack_forward(model))
    assert (model.config._attn_implementation, model.forward) == (before, forward)
    assert capsys.readouterr().out.count("@nightshift ") == 1
