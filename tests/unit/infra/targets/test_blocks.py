"""Targets as Prefect blocks: saved, found again by the name a recipe gives, secrets kept."""

import pytest
from pydantic import SecretStr

from infra.errors import TargetError
from infra.targets import TARGETS, HttpHookTarget, PointerTarget, Target, target_named


@pytest.mark.usefixtures("prefect_server")
def test_a_saved_target_is_found_under_its_kind_and_name_with_its_secrets() -> None:
    PointerTarget(url="/srv/pointers", unprobed=True).save("shop", overwrite=True)
    HttpHookTarget(url=SecretStr("https://h.example/x"), secret=SecretStr("s" * 32)).save("shop", overwrite=True)
    pointer, hook = target_named("nightshift-pointer/shop"), target_named("nightshift-http-hook/shop")
    assert isinstance(pointer, PointerTarget)
    assert (pointer.url, pointer.unprobed) == ("/srv/pointers", True)
    assert isinstance(hook, HttpHookTarget)
    assert hook.secret.get_secret_value() == "s" * 32


@pytest.mark.usefixtures("prefect_server")
def test_a_target_that_was_never_saved_is_named_with_the_next_action() -> None:
    with pytest.raises(TargetError, match="nightshift-pointer/nobody can't be loaded") as refused:
        target_named("nightshift-pointer/nobody")
    assert "save it" in refused.value.do


@pytest.mark.parametrize("reference", ["", "shop", "nightshift-pointer", "nightshift-pointer/", "slack-webhook/shop"])
def test_what_names_no_target_is_refused_with_the_kinds_there_are(reference: str) -> None:
    with pytest.raises(TargetError, match=r"names no target.*'nightshift-http-hook', 'nightshift-kubernetes'"):
        target_named(reference)


def test_every_kind_has_a_slug_a_description_and_described_fields() -> None:
    assert {kind.get_block_type_slug() for kind in TARGETS} == {
        "nightshift-pointer", "nightshift-kubernetes", "nightshift-http-hook",
    }  # fmt: skip
    for kind in TARGETS:
        assert issubclass(kind, Target)
        assert kind._description
        fields = {name: one for name, one in kind.model_fields.items() if not name.startswith("_")}
        assert [name for name, one in fields.items() if not one.description] == []
