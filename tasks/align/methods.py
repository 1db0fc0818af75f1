"""From a phase to a TRL trainer: one builder a method (``tasks.phases.METHODS`` says what each takes)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tasks.align.labels import labels_of
from tasks.align.online import build as online
from tasks.align.online.rollout import refuse_long_prompts
from tasks.align.pairs import pair_tokens, refuse_too_long
from tasks.align.reward_model import build as reward_model
from tasks.align.reward_model.drive import load_driver
from tasks.align.trainer import NightTrainer
from tasks.errors import ModelError
from tasks.lm.loading import best_device
from tasks.lm.reference_cache import ReferenceCache
from tasks.phases import METHODS, Phase


class Setting(NamedTuple):
    """What a trainer is built in: files, device, and what it asks and tells."""

    model: Any
    tokenizer: Any
    pairs: list[dict[str, Any]]
    arguments: dict[str, Any]  # of transformers.TrainingArguments
    callbacks: list[Any]
    cache: ReferenceCache | None
    max_tokens: int
    asked_to_end: Callable[[], bool]
    on_fill: Callable[[int, int], None]
    reward_model: str | None = None  # its folder, for the reward "model"
    held_out: tuple[dict[str, Any], ...] = ()  # pairs that it isn't trained on, but measured on


def build(phase: Phase, setting: Setting) -> Any:
    """The trainer of a phase.

    Raises:
        ModelError: the phase can't be trained with this model or on this machine.
        RewardError: a row lacks the truth that a reward of the phase compares with.
    """
    context = getattr(setting.model.config.get_text_config(), "max_position_embeddings", None)
    if METHODS[phase.method].online:
        refuse_long_prompts(setting.tokenizer, online.rows_of(setting.pairs), phase.max_new_tokens, context)
    else:
        refuse_too_long([*setting.pairs, *setting.held_out], setting.tokenizer, context)
        # truths are of several types, and a data set's column is of one
        pairs = [{name: one for name, one in pair.items() if name not in ("truth", "topic")} for pair in setting.pairs]
        setting = setting._replace(pairs=pairs)
    return _BUILDERS[phase.method](phase, setting)


def lora_config(phase: Phase) -> Any:
    """PEFT's configuration of the phase's adapter; None for full training."""
    if phase.adapter == "full":
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=phase.lora.r,
        lora_alpha=phase.lora.alpha,
        lora_dropout=phase.lora.dropout,
        use_dora=phase.adapter == "dora",
        use_rslora=phase.adapter == "rslora",
        target_modules="all-linear",
        # of a classifier PEFT trains the head whole, beside the adapter
        task_type="SEQ_CLS" if phase.method == "reward" else "CAUSAL_LM",
    )


def quantisation(phase: Phase, device: str) -> Any:
    """4-bit weights for QLoRA, else None.

    Raises:
        ModelError: bitsandbytes or an accelerator is missing.
    """
    if phase.adapter != "qlora":
        return None
    import importlib.util

    if device == "cpu" or importlib.util.find_spec("bitsandbytes") is None:
        missing = "an accelerator" if device == "cpu" else "bitsandbytes"
        raise ModelError(
            f'adapter "qlora" needs {missing}, which this machine has not',
            do='take adapter = "lora", or a pool with accelerators and `pip install -e .[qlora]`',
        )
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _dpo(phase: Phase, setting: Setting) -> Any:
    from trl import DPOConfig  # pyright: ignore[reportPrivateImportUsage]

    return NightTrainer(
        cache=setting.cache,
        max_tokens=setting.max_tokens,
        packing=phase.packing,
        asked_to_end=setting.asked_to_end,
        on_fill=setting.on_fill,
        **_common(
            phase,
            setting,
            DPOConfig(
                **setting.arguments,
                beta=phase.beta,
                loss_type=list(phase.losses),
                loss_weights=list(phase.loss_weights) or None,
                label_smoothing=phase.label_smoothing,
                discopop_tau=phase.discopop_tau,
                # TRL's own switch sets every dropout to 0, the adapter's as well, which the recipe may ask for
                disable_dropout=phase.lora.dropout == 0,
                max_length=None,  # validate bounded the tokens already; a silent cut would change the preference
                precompute_ref_log_probs=True,
            ),
            setting.pairs,
        ),
    )


def _kto(phase: Phase, setting: Setting) -> Any:
    from trl import KTOConfig, KTOTrainer  # pyright: ignore[reportPrivateImportUsage]

    size = setting.arguments["per_device_train_batch_size"]
    if size < 2:
        raise ModelError(
            "KTO compares answers with other prompts' answers of the same batch, and phase.batch_size leaves each "
            "process one pair",
            do="raise phase.batch_size to two pairs a process at least",
        )
    # of each batch first all chosen, then all rejected answers: TRL makes its unrelated answers by moving each one row
    # on, and chosen beside rejected would get its own prompt's
    units = [labels_of(pair) for pair in setting.pairs]
    labels = [
        unit[side] for begin in range(0, len(units), size) for side in (0, 1) for unit in units[begin : begin + size]
    ]
    # a step is so many pairs for every method, and each is two labels here
    batch = {"per_device_train_batch_size": 2 * size}
    config = KTOConfig(
        **{**setting.arguments, **batch},
        beta=phase.beta,
        loss_type=phase.losses[0],
        desirable_weight=phase.desirable_weight,
        undesirable_weight=phase.undesirable_weight,
        disable_dropout=phase.lora.dropout == 0,
        max_length=None,
    )
    return KTOTrainer(**_common(phase, setting, config, labels))


def _sft(phase: Phase, setting: Setting) -> Any:
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    examples = [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in setting.pairs]
    config = SFTConfig(**setting.arguments, max_length=None, completion_only_loss=True)
    return SFTTrainer(**_common(phase, setting, config, examples))


def _orpo(phase: Phase, setting: Setting) -> Any:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    config = ORPOConfig(
        **setting.arguments, beta=phase.beta, disable_dropout=phase.lora.dropout == 0, max_length=_longest(setting)
    )
    return ORPOTrainer(**_common(phase, setting, config, setting.pairs))


def _cpo(phase: Phase, setting: Setting) -> Any:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    simpo = phase.method == "simpo"
    config = CPOConfig(
        **setting.arguments,
        beta=phase.beta,
        loss_type="simpo" if simpo else phase.losses[0],  # pyright: ignore[reportArgumentType]
        cpo_alpha=0.0 if simpo else phase.cpo_alpha,
        simpo_gamma=phase.simpo_gamma,
        disable_dropout=phase.lora.dropout == 0,
        max_length=_longest(setting),
    )
    return CPOTrainer(**_common(phase, setting, config, setting.pairs))


def _online(phase: Phase, setting: Setting) -> Any:
    rows = online.rows_of(setting.pairs)
    online.refuse_missing_truth(rows, phase)
    longest = online.longest_of(setting.tokenizer, rows, phase)
    arguments = online.arguments_of(phase, setting.arguments, longest, setting.max_tokens)
    judge = None
    if phase.needs_model:
        judge = load_driver(setting.reward_model, setting.tokenizer, longest, *best_device())
    vllm = longest if phase.rollouts == "vllm" else None
    return online.make_trainer(
        phase, rows, arguments, lambda config, rows: _common(phase, setting, config, rows), judge, vllm
    )


def _reward(phase: Phase, setting: Setting) -> Any:
    def common(config: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return _common(phase, setting, config, rows)

    return reward_model.make_trainer(phase, setting.arguments, setting.pairs, common)


# rejection sampling trains as one of these, on what it has drawn (Phase.trained)
_BUILDERS: dict[str, Callable[[Phase, Setting], Any]] = {
    "dpo": _dpo,
    "kto": _kto,
    "sft": _sft,
    "orpo": _orpo,
    "cpo": _cpo,
    "simpo": _cpo,
    "ppo": _online,
    "grpo": _online,
    "rloo": _online,
    "online_dpo": _online,
    "reward": _reward,
}


def _common(phase: Phase, setting: Setting, config: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    from datasets import Dataset

    if config.device.type == "cuda":
        config._n_gpu = 1  # one process a device: Trainer would spread a single process over all it sees (DataParallel)
    return {
        "model": setting.model,
        "args": config,
        "train_dataset": Dataset.from_list(rows),
        "processing_class": setting.tokenizer,
        "peft_config": lora_config(phase),
        "callbacks": setting.callbacks,
    }


def _longest(setting: Setting) -> int:
    """A cut that cuts nothing: these trainers take no None."""
    return max(pair_tokens(setting.tokenizer, pair) for pair in setting.pairs) + 8
