"""A reward model from a language model: built, trained by TRL's RewardTrainer, measured on held-out pairs, and saved.

It is saved in the form that ``tasks.lm.reward`` reads: a sequence classifier with one label, whole, with tokenizer and
chat template, and its report beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from infra.digest import canonical_json
from tasks.align.reward_model.report import RewardReport, report_of
from tasks.errors import ModelError
from tasks.lm.reward import SequenceRewardModel
from tasks.phases import Phase

FOLDER, REPORT = "reward_model", "reward.json"
HEAD = "score"  # of transformers' sequence classifiers on decoders


def load_classifier(base: Path, dtype: torch.dtype) -> Any:
    """The language model's body under a new head of one number, drawn from torch's global random numbers.

    Raises:
        ModelError: transformers has no sequence classifier of this architecture, or one with another head; or weights
            of the body are missing, which it would draw at random, too.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(base, num_labels=1, trust_remote_code=False)
    if type(config) not in AutoModelForSequenceClassification._model_mapping:
        raise _no_classifier(config.model_type)
    model, report = AutoModelForSequenceClassification.from_pretrained(
        base, config=config, dtype=dtype, output_loading_info=True, trust_remote_code=False
    )
    if not isinstance(getattr(model, HEAD, None), torch.nn.Linear):
        raise _no_classifier(config.model_type)
    if missing := sorted(set(report["missing_keys"]) - {f"{HEAD}.weight"}):
        raise ModelError(
            f"the model {base} lacks {', '.join(missing[:3])}", do="give the model with all of its weights"
        )
    return model


def _no_classifier(kind: str) -> ModelError:
    return ModelError(
        f"the model's architecture {kind!r} has no sequence classifier with a linear `{HEAD}` in transformers",
        do="take another model, or verifiable rewards",
    )


def make_trainer(phase: Phase, arguments: dict[str, Any], rows: Sequence[dict[str, Any]], common: Any) -> Any:
    """TRL's trainer.

    Args:
        arguments: of transformers.TrainingArguments.
        common: makes the arguments that all of TRL's trainers take, of a config and rows.
    """
    from trl import RewardConfig, RewardTrainer  # pyright: ignore[reportPrivateImportUsage]

    config = RewardConfig(
        **arguments,
        center_rewards_coefficient=phase.center_rewards or None,
        disable_dropout=phase.lora.dropout == 0,
        max_length=None,  # validate bounded the tokens already; TRL would leave longer pairs out without a word
    )
    pairs = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]
    return RewardTrainer(**common(config, pairs))


def measured(trainer: Any, held_out: Sequence[dict[str, Any]], phase: Phase) -> tuple[Any, RewardReport]:
    """The trained model, whole and with a temperature that helps in its head, and what is known of it.

    Raises:
        ModelError: a reward isn't finite.
    """
    model, tokenizer = trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    # an adapter keeps its head in fp32, which the body's bf16 can't be multiplied with outside of autocast
    model = model.to(model.get_input_embeddings().weight.dtype).eval()
    judge = SequenceRewardModel(model, tokenizer)
    chosen, rejected = (
        judge.rewards(
            [[*pair["prompt"], *pair[side][:-1]] for pair in held_out],
            [pair[side][-1]["content"] for pair in held_out],
        )
        for side in ("chosen", "rejected")
    )
    report = report_of(chosen, rejected, held_out, len(trainer.train_dataset), phase.reward_floor)
    with torch.no_grad():
        getattr(model, HEAD).weight.div_(report.temperature)
    return model, report


def save(model: Any, tokenizer: Any, report: RewardReport, out: Path) -> None:
    """Write the model's folder."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / REPORT).write_bytes(canonical_json(report))
