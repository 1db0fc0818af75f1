"""The doctor finds what is known not to work, and is green on the set-up of this project."""

import pytest

from infra.doctor import KNOWN, examine, in_words, judge_version, judge_visibility


@pytest.mark.parametrize(
    ("name", "installed", "symptom"),
    [
        ("sqlalchemy", "2.1.0", "cron never fires"),
        ("fastapi", "0.151.0", "dies on import"),
        ("fastapi", "0.138.0", "dies on import"),
        ("prefect", "3.9.1", "can't be resolved"),
        ("trl", "2.0.0", "tested with"),
    ],
)
def test_a_version_known_to_fail_is_wrong_and_its_symptom_is_named(name: str, installed: str, symptom: str) -> None:
    found = judge_version(name, installed)
    assert found.state == "wrong"
    assert symptom in found.text
    assert "make setup" in found.text


def test_a_package_that_is_not_there_is_wrong() -> None:
    assert judge_version("prefect", None).state == "wrong"


def test_two_visibility_variables_hide_devices_and_one_is_shown() -> None:
    assert judge_visibility({}).state == "good"
    assert judge_visibility({"ROCR_VISIBLE_DEVICES": "0"}).state == "note"
    both = judge_visibility({"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "1"})
    assert both.state == "wrong"
    assert "ROCR_VISIBLE_DEVICES=1, HIP_VISIBLE_DEVICES=1" in both.text


def test_the_installed_set_is_healthy() -> None:
    findings = examine()
    assert {one.what for one in findings} >= {"python", "torch", "accelerators", "visibility", "price book", *KNOWN}
    assert [one for one in findings if one.state == "wrong"] == []
    assert in_words(findings).endswith("Nothing is wrong.")
