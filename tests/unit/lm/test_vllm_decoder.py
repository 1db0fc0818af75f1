"""Where vLLM isn't installed; with a real one: ``make test-vllm`` (tests/with_vllm)."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.contracts import Engine
from tasks.errors import EngineError
from tasks.gate.scoring_engine import open_engine
from tasks.gate.suites import load_suite
from tasks.lm.vllm_decoder import VllmDecoder
from tasks.phases import Phase
from tests.unit.lm.test_weights import model


def test_without_it_what_to_do_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)  # what makes an import fail, installed or not
    with pytest.raises(EngineError, match=r"vLLM isn't installed where this runs.*\n.*install it beside Nightshift"):
        VllmDecoder(tmp_path, model(), 64)


def test_a_gate_that_asks_for_it_is_not_answered_by_ours(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tiny_suites: Path
) -> None:
    suites = {"safety": load_suite("safety", tiny_suites / "safety")}
    ours = Engine(name="packed", device="cpu", dtype="float32", tokens=2048, form="merged", quantise=None)
    spec = {"base": str(tiny_model), "adapter": None}
    monkeypatch.setitem(sys.modules, "vllm", None)
    assert open_engine(spec, ours, suites, 4, print)
    with pytest.raises(EngineError, match="vLLM isn't installed"):
        open_engine(spec, ours.model_copy(update={"name": "vllm"}), suites, 4, print)


def phase(**changes: object) -> Phase:
    return Phase.model_validate({"method": "grpo", "reward": "not_refused", "max_steps": 1, **changes})


def test_who_draws_is_part_of_a_phase_only_where_it_isnt_ours() -> None:
    assert phase(rollouts="own").digest == phase().digest
    assert phase(rollouts="vllm").digest != phase().digest


def test_it_cant_be_asked_for_where_nothing_is_drawn_or_weights_have_four_bits() -> None:
    with pytest.raises(ValidationError, match="method 'dpo' ignores rollouts"):
        Phase.model_validate({"max_steps": 1, "rollouts": "vllm"})
    with pytest.raises(ValidationError, match="has them in four bits"):
        phase(rollouts="vllm", adapter="qlora")
    drawn = phase(rollouts="vllm", method="reject")
    assert drawn.trained.method == "sft"  # which draws nothing, and takes the field out
