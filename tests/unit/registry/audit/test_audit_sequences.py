"""Any sequence of changes through the guard, ended or cut off by a crash, leaves nothing for the audit to find."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from infra.registry_guard.changes import Change
from tasks.registry.auditing import look_once
from tests.audited import ADMIN, APPROVER, SERVICE, TRAINER, World

pytestmark = pytest.mark.slow

TEXTS = st.sampled_from(["", "a", "requested", "ä" * 1999, "x" * 2001, "x" * 2002, "… (2001 characters)"])
ENDS = st.sampled_from([{}, {}, {}, {"die": "before"}, {"die": "after"}, {"status": 403}, {"status": 500}])


def machine(template: World) -> type[RuleBasedStateMachine]:
    class Guarded(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.home = Path(tempfile.mkdtemp())
            self.world = World.copied(template, self.home)

        def versions(self) -> list[str]:
            found = self.world.client.search_model_versions("name = 'shop'")
            return sorted((str(one.version) for one in found), key=int)

        def waiting(self) -> list[str]:
            return [one for one in self.versions() if self.world.tags(one).get("approval") == "requested"]

        @rule()
        def register(self) -> None:
            self.world.register(f"key-{len(self.versions())}")

        @rule(how=ENDS)
        def register_in_part(self, how: dict[str, Any]) -> None:
            tags = {"nightshift.key": f"cut-{len(self.versions())}", "nightshift.role": "candidate"}
            self.world.do(TRAINER, Change("create_version", "shop", tags=tags), description="x", **how)

        @rule(which=st.integers(0, 99), key=st.sampled_from(["nightshift.note", "nightshift.x"]), value=TEXTS, how=ENDS)
        def note(self, which: int, key: str, value: str, how: dict[str, Any]) -> None:
            versions = self.versions()
            self.world.tag(TRAINER, versions[which % len(versions)], key, value, **how)

        @rule(which=st.integers(0, 99), text=TEXTS, how=ENDS)
        def describe(self, which: int, text: str, how: dict[str, Any]) -> None:
            versions = self.versions()
            change = Change("update_version", "shop", versions[which % len(versions)])
            self.world.do(TRAINER, change, description=text, **how)

        @rule(text=TEXTS, how=ENDS)
        def describe_model(self, text: str, how: dict[str, Any]) -> None:
            self.world.do(SERVICE, Change("update_model", "shop"), description=text, **how)

        @precondition(lambda self: bool(self.waiting()))
        @rule(how=ENDS)
        def reject(self, how: dict[str, Any]) -> None:
            self.world.tag(APPROVER, self.waiting()[0], "approval", "rejected: no", **how)

        @precondition(lambda self: bool(self.waiting()))
        @rule()
        def promote(self) -> None:
            version = self.waiting()[-1]
            if "nightshift.model" in self.world.tags(version):
                self.world.promote(version)

        @precondition(lambda self: self.world.alias("previous") != self.world.alias("champion"))
        @rule()
        def roll_back(self) -> None:
            self.world.rollback()

        @rule(how=ENDS)
        def delete(self, how: dict[str, Any]) -> None:
            held = {self.world.alias(one) for one in ("champion", "previous", "anchor")}
            free = [one for one in self.versions() if one not in held]
            if free:
                self.world.do(SERVICE, Change("set_alias", "shop", free[0], alias="drill"))
                self.world.do(ADMIN, Change("delete_version", "shop", free[0]), **how)

        @rule(alias=st.sampled_from(["drill", "previous"]), how=ENDS)
        def drop_alias(self, alias: str, how: dict[str, Any]) -> None:
            if self.world.alias(alias) is None and not how:
                return
            self.world.do(SERVICE, Change("delete_alias", "shop", alias=alias), **how)

        @invariant()
        def nothing_critical(self) -> None:
            found = look_once(self.world.client, self.home).findings
            assert [one.what for one in found if one.severity == "critical"] == []

        def teardown(self) -> None:
            shutil.rmtree(self.home)

    return Guarded


def test_no_sequence_of_changes_through_the_guard_has_a_critical_finding(template: World) -> None:
    made: Callable[[], RuleBasedStateMachine] = machine(template)
    run_state_machine_as_test(
        made,
        settings=settings(
            max_examples=15, stateful_step_count=12, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            phases=[Phase.generate], derandomize=True, database=None,
        ),
    )  # fmt: skip
