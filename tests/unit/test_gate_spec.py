"""What a recipe may say of the gate: drift, what serves, and what contradicts itself."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.recipe import DriftSpec, GateSpec, ServeSpec

SUITE = {"name": "house", "measure": "probability", "margin": 0.02, "budget": 0.05}


def gate(**changes: Any) -> GateSpec:
    return GateSpec.model_validate({"target": "house", "suites": [SUITE], **changes})


def test_measures_of_drift_are_judged_behind_the_recipes_suites_each_in_its_measure() -> None:
    limits = {"margin": 0.1, "budget": 0.2}
    judged = gate(drift={"refusal": limits, "length": limits, "max_kl": 1.0}).judged
    assert [(one.name, one.measure) for one in judged] == [
        ("house", "probability"),
        ("drift-length", "score"),
        ("drift-refusal", "right"),
    ]
    assert gate().judged == gate().suites


@pytest.mark.parametrize("name", ["drift", "drift-kl", "drift-mine"])
def test_a_suite_can_not_take_the_name_of_drift(name: str) -> None:
    with pytest.raises(ValidationError, match=r"are made from gate\.drift"):
        gate(suites=[SUITE, {**SUITE, "name": name}])


def test_drift_that_limits_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="limits nothing"):
        DriftSpec()
    assert DriftSpec(max_empty=0.1).measures() == {}


def test_an_adapter_served_apart_can_not_be_quantised() -> None:
    with pytest.raises(ValidationError, match="what is judged is the merged model"):
        ServeSpec(form="adapter", quantise="Q8_0")
    assert ServeSpec(quantise="Q8_0").form == "merged"
