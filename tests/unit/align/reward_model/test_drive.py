"""A trained reward model on its way into another training: it drives what it may, and nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmarks import rewards_toy as toy
from benchmarks.rewards_toy import make_model, preferences
from infra.jsonl import dump_lines
from tasks.align.program import Run
from tasks.align.reward_model.calibration import mean_loss
from tasks.align.reward_model.drive import Centred, load_driver
from tasks.align.reward_model.report import is_held_out, read_report
from tasks.align.trainer import Interrupted
from tasks.errors import ModelError
from tasks.lm.generate import generate
from tasks.lm.loading import load_model, load_tokenizer
from tasks.lm.reward import load_reward_model
from tasks.phases import METHODS, Phase
from tests.conftest import AskAfter, Never, training_spec
from tests.unit.align.online.test_program import adapter, told

pytestmark = pytest.mark.usefixtures("one_thread")

ONLINE = [name for name, method in METHODS.items() if method.online]
QUICK = "ppo"
STEPS, BATCH = 6, 4


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """The folder of a reward model that has learned the planted preference."""
    return train(tmp_path_factory.mktemp("reward"), digits, preferences(320))


def train(folder: Path, base: Path, rows: list[dict[str, Any]]) -> Path:
    before = torch.get_num_threads()
    run = toy.train(base, folder / "run", rows, toy.REWARD_STEPS, 3, toy.REWARD)
    torch.set_num_threads(before)
    return Path(run.spec["out"]) / "reward_model"


@pytest.fixture
def spec(tmp_path: Path, digits: Path, trained: Path) -> Any:
    (tmp_path / "pairs.jsonl").write_bytes(dump_lines(preferences(STEPS * BATCH)))

    def make(name: str = "run", phase: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        small = {
            "method": "ppo", "reward": ["model"], "batch_size": BATCH, "group_size": 4, "max_new_tokens": 4,
            "learning_rate": 1e-2, "checkpoint_every": 50,
        } | (phase or {})  # fmt: skip
        given = {"reward_model": str(trained)} | changes
        return training_spec(tmp_path / name, digits, tmp_path / "pairs.jsonl", STEPS, small, **given)

    return make


def share_of_good(base: Path) -> float:
    """Of the tokens that are drawn, those the preference likes."""
    model, tokenizer = load_model(base, None, torch.float32, "cpu"), load_tokenizer(base)
    prompts = [row["prompt"] for row in preferences(40)]
    drawn = generate(model, tokenizer, prompts, 4, temperature=1.0, seed=1, samples=8)
    words = [word for answers in drawn for answer in answers for word in tokenizer.decode(answer).split()]
    return words.count("1") / len(words)


# ---- it drives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in ONLINE if one != QUICK)]
)
def test_every_online_method_learns_from_a_reward_model_alone_or_beside_verifiable_rewards(
    method: str, spec: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = Run(spec("alone", {"method": method}), Never()).train()
    assert "rewards_model_mean" in alone[0]
    said = [event["text"] for event in told(capsys.readouterr().out, "log")]
    assert any(text.startswith("reward model: ") for text in said)
    both = {"method": method, "reward": ["exact_number", "model"], "reward_weights": [2.0, 0.5]}
    first = Run(spec("both", both), Never()).train()[0]
    weighted = 2.0 * first["rewards_exact_number_mean"] + 0.5 * first["rewards_model_mean"]
    assert first["reward"] == pytest.approx(weighted, abs=1e-5)


def test_ppo_moves_the_policy_to_what_the_preferences_liked(spec: Any, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_bytes(dump_lines(preferences(40 * BATCH)))
    made = spec(phase={"group_size": 16, "kl_target": 1.5, "adapter": "full", "learning_rate": 4e-3, "epochs": 4})
    made["phase"]["max_steps"] = 160
    made |= {"pairs": str(tmp_path / "many.jsonl"), "steps": 160}
    before = share_of_good(digits)
    run = Run(made, Never())
    run.train()
    after = share_of_good(toy.in_full(digits, run, tmp_path / "after"))
    assert before < 0.1
    assert after > 0.4


@pytest.mark.slow
def test_a_training_that_a_reward_model_drives_goes_on_to_the_same_bytes(spec: Any) -> None:
    whole, cut = spec("whole"), spec("cut")
    true = Run(whole, Never()).train()
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(2)).train()
    assert Run(cut, Never()).train() == true
    assert adapter(cut) == adapter(whole)


def test_rewards_come_with_their_mean_taken_off_and_in_nats(trained: Path, digits: Path) -> None:
    driver = load_driver(str(trained), load_tokenizer(digits), 10, "cpu", torch.float32)
    plain, mean = (
        load_reward_model(trained, "cpu", torch.float32),
        read_report((trained / "reward.json").read_bytes(), "").mean,
    )
    rows = preferences(5)
    prompts, answers = [row["prompt"] for row in rows], [row["chosen"][0]["content"] for row in rows]
    true = [reward - mean for reward in plain.rewards(prompts, answers)]
    assert driver.rewards(prompts, answers) == pytest.approx(true)
    assert isinstance(driver, Centred)
    assert mean != 0


def test_the_temperature_is_in_the_weights_of_the_folder(trained: Path) -> None:
    report = read_report((trained / "reward.json").read_bytes(), "")
    assert report.temperature != 1
    rows = [row for row in preferences(320) if is_held_out(row["prompt"], 0.2)]
    plain = load_reward_model(trained, "cpu", torch.float32)
    prompts = [row["prompt"] for row in rows]
    chosen, rejected = (
        plain.rewards(prompts, [row[side][0]["content"] for row in rows]) for side in ("chosen", "rejected")
    )
    gaps = [one - other for one, other in zip(chosen, rejected, strict=True)]
    assert mean_loss(gaps) == pytest.approx(report.calibration.loss, rel=1e-3)
    assert mean_loss([gap * report.temperature for gap in gaps]) == pytest.approx(report.before.loss, rel=1e-3)
    assert report.calibration.loss < report.before.loss


# ---- it doesn't ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*ONLINE, "reject"])
def test_a_reward_model_below_its_floor_drives_nothing(
    method: str, spec: Any, digits: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    weak = train(tmp_path_factory.mktemp("weak"), digits, preferences(320, coin=True))
    with pytest.raises(ModelError, match=r"ranks \d+ of \d+ held-out pairs right.*phase\.reward_floor") as refused:
        Run(spec(phase={"method": method}, reward_model=str(weak)), Never())
    assert "leave the phases out that use it" in refused.value.do


@pytest.mark.parametrize("method", [*ONLINE, "reject"])
def test_a_night_without_a_reward_model_is_refused_before_anything_is_drawn(method: str, spec: Any) -> None:
    made = spec(phase={"method": method})
    del made["reward_model"]
    with pytest.raises(ModelError, match='the reward "model" is that of an earlier phase') as refused:
        Run(made, Never())
    assert 'method = "reward" before this one' in refused.value.do


def damaged(trained: Path, to: Path) -> Path:
    shutil.copytree(trained, to)
    return to


def test_a_reward_model_that_nobody_measured_is_refused(spec: Any, trained: Path, tmp_path: Path) -> None:
    folder = damaged(trained, tmp_path / "unmeasured")
    (folder / "reward.json").unlink()
    with pytest.raises(ModelError, match=r"has no reward\.json: nobody measured it"):
        Run(spec(reward_model=str(folder)), Never())
    (folder / "reward.json").write_text("{}")
    with pytest.raises(ModelError, match=r"reward\.json is no report"):
        Run(spec(reward_model=str(folder)), Never())


def test_a_reward_model_of_another_tokenizer_is_refused(
    spec: Any, tiny_model: Path, trained: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # of another model altogether, well trained
    from tests.conftest import write_pairs

    write_pairs(tmp_path / "polite.jsonl", 260)
    rows = [json.loads(line) for line in (tmp_path / "polite.jsonl").read_text().splitlines()]
    names = ("id", "prompt", "chosen", "rejected")
    other = train(tmp_path_factory.mktemp("other"), tiny_model, [{name: row[name] for name in names} for row in rows])
    with pytest.raises(ModelError, match="has another tokenizer than the policy") as refused:
        Run(spec(reward_model=str(other)), Never())
    assert "train the reward model from the model that the policy starts from" in refused.value.do
    # of this model, but for one word that changed places with another
    swapped = damaged(trained, tmp_path / "swapped")
    text = json.loads((swapped / "tokenizer.json").read_text())
    words = text["model"]["vocab"]
    words["1"], words["2"] = words["2"], words["1"]
    (swapped / "tokenizer.json").write_text(json.dumps(text))
    with pytest.raises(ModelError, match="has another tokenizer than the policy"):
        Run(spec(reward_model=str(swapped)), Never())


def test_a_reward_model_of_another_chat_template_or_none_is_refused(spec: Any, trained: Path, tmp_path: Path) -> None:
    folder = damaged(trained, tmp_path / "template")
    (jinja,) = folder.glob("*.jinja")
    jinja.write_text(jinja.read_text() + " ")
    with pytest.raises(ModelError, match="has another chat template than the policy"):
        Run(spec(reward_model=str(folder)), Never())
    jinja.unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="has no chat template"):
        Run(spec(reward_model=str(folder)), Never())


def test_a_reward_model_with_fewer_embeddings_than_words_is_refused(spec: Any, trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = damaged(trained, tmp_path / "small")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] - 1}))
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:-1].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="embeddings of 10 words, its tokenizer has 11"):
        Run(spec(reward_model=str(folder)), Never())


def test_a_reward_model_that_reads_less_than_the_longest_answer_is_refused(
    spec: Any, trained: Path, tmp_path: Path
) -> None:
    folder = damaged(trained, tmp_path / "short")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 9}))
    with pytest.raises(ModelError, match=r"longest prompt and answer have 10 tokens, and the reward model .* reads 9"):
        Run(spec(reward_model=str(folder)), Never())


def test_the_reward_model_may_be_named_in_a_recipe_and_needs_no_truth() -> None:
    phase = Phase(method="ppo", reward=("model", "not_refused"), reward_weights=(1.0, 0.1), max_steps=3)
    assert not phase.needs_truth
    with pytest.raises(ValueError, match="ignores reward"):
        Phase(method="dpo", reward=("model",), max_steps=3)
