"""What the training program can't be done with: each is one event that says what and what to do, never a traceback."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.digest import digest_of
from infra.events import parse
from infra.jsonl import dump_lines, load_lines
from tasks.align import checkpoints, program
from tasks.align.outcome import EXIT
from tasks.align.pairs import refuse_too_long
from tasks.align.trainer import NightTrainer
from tasks.errors import ModelError
from tasks.lm.loading import load_tokenizer
from tests.conftest import Never, training_spec, write_pairs

STEPS, BATCH = 2, 4
METHODS = ["dpo", "kto", "sft", "orpo", "cpo", "simpo"]


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the program to its early end and returns the event; keyword arguments change the spec."""
    monkeypatch.setattr(program, "die_with_parent", lambda: None)
    monkeypatch.setattr(program, "EndRequests", Never)
    write_pairs(tmp_path / "pairs.jsonl", STEPS * BATCH)

    def stop(phase: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        small = {"batch_size": BATCH, "checkpoint_every": 1} | (phase or {})
        changes.setdefault("cache", str(tmp_path / "store"))
        spec = training_spec(tmp_path, tiny_model, tmp_path / "pairs.jsonl", STEPS, small, **changes)
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        with pytest.raises(SystemExit) as ended:
            program.main(str(tmp_path / "spec.json"), str(tmp_path / "result.json"))
        assert ended.value.code == EXIT
        assert not (tmp_path / "result.json").exists()
        events = [event for line in capsys.readouterr().out.splitlines() if (event := parse(line))]
        (stopped,) = [event for event in events if event["event"] == "stopped"]
        return stopped

    return stop


def test_a_tokenizer_without_a_chat_template_is_refused_by_its_folder(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    stopped = run(base=str(tmp_path / "model"))
    assert stopped["kind"] == "refused"
    assert stopped["what"] == f"the tokenizer in {tmp_path / 'model'} has no chat template"
    assert stopped["do"] == "save one with the tokenizer (tokenizer.chat_template)"


# ---- pairs ---------------------------------------------------------------------------------------------------------


TEMPLATE = 14  # "<s> user …8 words… </s> <s> assistant … </s>"
CONTEXT = 256


def lengthen(pairs: Path, side: str, tokens: int) -> list[dict[str, Any]]:
    """Gives the third pair's conversation so many tokens."""
    rows = load_lines(pairs.read_bytes())
    rows[2][side][0]["content"] = " ".join(["tea"] * (tokens - TEMPLATE))
    pairs.write_bytes(dump_lines(rows))
    return rows


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_a_pair_as_long_as_the_context_fits_and_one_token_more_does_not(
    side: str, tiny_model: Path, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 4)
    tokenizer = load_tokenizer(tiny_model)
    refuse_too_long(lengthen(tmp_path / "pairs.jsonl", side, CONTEXT), tokenizer, CONTEXT)
    longer = lengthen(tmp_path / "pairs.jsonl", side, CONTEXT + 1)
    refuse_too_long(longer, tokenizer, None)
    with pytest.raises(ModelError, match=r"pair-2 has 257 tokens.* is 256; 1 of 4 pairs"):
        refuse_too_long(longer, tokenizer, CONTEXT)


@pytest.mark.parametrize("method", METHODS)
def test_a_pair_longer_than_the_models_context_is_refused_by_its_id(method: str, run: Run, tmp_path: Path) -> None:
    lengthen(tmp_path / "pairs.jsonl", "rejected", 300)
    stopped = run({"method": method})
    assert stopped["kind"] == "refused"
    assert stopped["what"] == (
        "the pair pair-2 has 300 tokens with the chat template, the model's context (max_position_embeddings) is 256; "
        "1 of 8 pairs are longer than it"
    )
    assert "data.max_prompt_tokens or data.max_answer_tokens" in stopped["do"]
    assert not (tmp_path / "store").exists()  # no reference was computed first


@pytest.mark.parametrize(("count", "steps"), [(0, 2), (3, 2), (7, 2), (0, 0), (8, 0)])
def test_fewer_pairs_than_the_steps_take_are_refused_by_their_number(
    count: int, steps: int, run: Run, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", count)
    assert ((tmp_path / "pairs.jsonl").stat().st_size == 0) == (count == 0)
    stopped = run(steps=steps)
    assert stopped["kind"] == "refused"
    assert stopped["what"] == f"{count} training pairs for {steps} step(s) of {BATCH} (phase.batch_size)"
    assert "lower phase.batch_size or phase.max_steps" in stopped["do"]


# ---- the disk ------------------------------------------------------------------------------------------------------


def test_a_file_in_place_of_the_checkpoint_folder_is_refused_by_its_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    stopped = run()
    assert stopped["kind"] == "refused"
    assert stopped["what"] == f"the checkpoints under {tmp_path / 'checkpoints'} can't be listed: Not a directory"
    assert "NIGHTSHIFT_HOME on another disk" in stopped["do"]


def test_a_checkpoint_folder_that_can_not_be_made_is_refused_before_the_model_is_loaded(run: Run) -> None:
    # not even root makes folders in /proc
    stopped = run(checkpoints="/proc/checkpoints", base="/none")
    assert stopped["kind"] == "refused"
    assert stopped["what"] == "the training can't write /proc/checkpoints: No such file or directory"
    assert stopped["do"].startswith("free space or fix permissions there, or set NIGHTSHIFT_HOME to another disk")


def test_a_checkpoint_folder_that_takes_no_file_is_refused(run: Run) -> None:
    stopped = run(checkpoints="/proc/self/task")  # there, empty of checkpoints, and not to be written
    assert stopped["kind"] == "refused"
    assert stopped["what"].startswith("the training can't write /proc/self/task: ")


# ---- memory --------------------------------------------------------------------------------------------------------


def too_large(*_: Any, **__: Any) -> Any:
    """What PyTorch itself says on a CPU."""
    return torch.empty(2**58, dtype=torch.uint8)


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "what"),
    [
        (too_large, "can't allocate memory: you tried to allocate 288230376151711744 bytes"),
        (failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")), "allocate 2 GiB."),
        (failing(MemoryError()), "MemoryError"),
    ],
    ids=["cpu", "accelerator", "python"],
)  # fmt: skip
def test_memory_that_runs_out_in_a_step_is_said_and_no_traceback(
    fail: Callable[..., Any], what: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NightTrainer, "compute_loss", fail)
    stopped = run()
    assert stopped["kind"] == "out_of_memory"
    assert what in stopped["what"]
    assert "\n" not in stopped["what"]


def test_memory_that_runs_out_while_the_reference_is_computed_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NightTrainer, "compute_ref_log_probs", too_large)
    assert run()["kind"] == "out_of_memory"


def test_memory_that_runs_out_at_a_checkpoint_is_not_blamed_on_the_disk(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch, "save", too_large)
    assert run()["kind"] == "out_of_memory"
    assert checkpoints.newest(tmp_path / "checkpoints", digest_of("course")) is None


def test_any_other_error_of_pytorch_stays_a_crash_with_its_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        NightTrainer, "compute_loss", failing(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    )
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run()
    assert '"stopped"' not in capsys.readouterr().out
