"""Two halves of a receipt agree where only rounding lies between them, and nowhere else."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.attempts import Device
from infra.digest import digest_of
from infra.jsonl import dump_lines, load_lines
from infra.pools.local import LocalPool
from infra.store import Store
from tasks.align.receipt import QUANTITIES, first_spec, receipt_of, refuse_down, series_of
from tasks.align.tolerances import TOLERANCES, tolerances_for
from tasks.errors import PoolDown, ReceiptError
from tasks.phases import Phase
from tasks.portability import in_words, keep_receipt, newest_receipt, portability_of
from tasks.receipts import Quantity, Receipt, Side, phase_digest
from tests.unit.align.receipts import STEPS, SUBJECT, found, moved, series, side

NOW = datetime(2026, 11, 26, 2, tzinfo=UTC)
COMPUTED: list[Quantity] = [name for name in QUANTITIES if name not in ("learning_rate", "num_tokens")]


def receipt(one: Side | None = None, other: Side | None = None, now: datetime = NOW) -> Receipt:
    return receipt_of("support", one or side(), other or side("two", "h100"), now)


# ---- judging -------------------------------------------------------------------------------------------------------


def test_the_same_numbers_agree_and_the_worst_of_each_quantity_is_told() -> None:
    finding = found(side(), side("two"))
    assert finding.agrees
    assert finding.differs == ()
    assert {one.quantity for one in finding.worst} == set(QUANTITIES)
    assert all(one.difference == 0 for one in finding.worst)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(COMPUTED), st.integers(1, STEPS), st.sampled_from(sorted(TOLERANCES)), st.floats(0, 3))
def test_a_difference_agrees_exactly_when_it_is_within_its_tolerance(
    name: Quantity, step: int, computed: str, share: float
) -> None:
    one = side(computed=computed)
    tolerance = next(
        worst for worst in found(one, side("two", computed=computed, **{name: moved(name, step, 1e-3)})).worst
        if worst.quantity == name
    ).tolerance  # fmt: skip
    by = share * tolerance
    finding = found(one, side("two", computed=computed, **{name: moved(name, step, by)}))
    if abs(share - 1) > 1e-6:
        assert finding.agrees == (share < 1)
    if share > 1e-6:
        assert (finding.worst[0].quantity, finding.worst[0].step) == (name, step)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(QUANTITIES), st.integers(1, STEPS), st.floats(1e-9, 10), st.booleans())
def test_it_does_not_matter_which_half_comes_first(name: Quantity, step: int, by: float, up: bool) -> None:
    one, other = side(), side("two", **{name: moved(name, step, by if up else -by)})
    there, back = found(one, other), found(other, one)
    assert there.agrees == back.agrees
    assert [(worst.quantity, worst.step) for worst in there.worst] == [
        (worst.quantity, worst.step) for worst in back.worst
    ]


@pytest.mark.parametrize("computed", sorted(TOLERANCES))
def test_step_1_before_any_update_is_held_tighter_than_step_20_and_tolerance_never_shrinks(computed: str) -> None:
    for name, tolerance in tolerances_for(computed).items():
        shares = [tolerance.share(step) for step in range(1, STEPS + 1)]
        assert shares == sorted(shares), name
        if name in COMPUTED:
            assert shares[0] < shares[-1], name


def test_a_half_that_is_far_off_does_not_widen_its_own_tolerance() -> None:
    one = side(computed="bfloat16")
    for by in (5.0, 1e3, 1e9):
        assert not found(one, side("two", computed="bfloat16", grad_norm=moved("grad_norm", STEPS, by))).agrees
        assert not found(one, side("two", computed="bfloat16", logps_chosen=moved("logps_chosen", 1, by))).agrees


def test_bf16_is_held_looser_than_fp32() -> None:
    loose, tight = tolerances_for("bfloat16"), tolerances_for("float32")
    assert all(loose[name].share(2) > 10 * tight[name].share(2) for name in COMPUTED)


def test_the_loss_of_step_1_may_not_move_by_what_step_20_may() -> None:
    by = 1.5 * tolerances_for("float32")["loss"].first * 0.1 * (120 + 110)
    assert not found(side(), side("two", loss=moved("loss", 1, by))).agrees
    assert found(side(), side("two", loss=moved("loss", STEPS, by))).agrees


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", digest_of("another")),
        ("phase", digest_of("another")),
        ("pairs", digest_of("another")),
        ("code", digest_of("another")),
        ("seed", 4),
        ("beta", 0.2),
        ("of", 50),
        ("losses", ("ipo",)),
        ("libraries", ("trl==1.17.0",)),
    ],
)
def test_halves_of_another_training_are_not_compared_and_it_is_named(name: str, value: Any) -> None:
    finding = found(side(), side("two", **{name: value}))
    assert not finding.agrees
    assert finding.worst == ()
    (told,) = finding.differs
    assert told.startswith(f"another {name} (")
    assert "on two" in told


def test_halves_of_other_steps_are_not_compared() -> None:
    shorter = {name: values[:-1] for name, values in series().items()}
    finding = found(side(), side("two", steps=STEPS - 1, **shorter))
    assert not finding.agrees
    assert finding.differs == ("another steps (20 on one, 19 on two)",)


@pytest.mark.parametrize("what", ["weights", "computed"])
def test_another_dtype_is_named_and_never_within_a_tolerance(what: str) -> None:
    finding = found(side(), side("two", **{what: "bfloat16"}))
    assert not finding.agrees
    assert finding.differs == (f"{what} in float32 on one, in bfloat16 on two",)


def test_a_token_more_is_no_rounding() -> None:
    assert not found(side(), side("two", num_tokens=moved("num_tokens", 7, 1.0))).agrees
    assert not found(side(), side("two", learning_rate=moved("learning_rate", 7, 1e-9))).agrees


def test_a_quantity_that_one_half_lacks_is_named() -> None:
    values = {name: value for name, value in series().items() if name != "rewards_chosen"}
    one = side()
    other = one.model_copy(update={"pool": "two", "series": values})
    assert found(one, other).differs == ("only one logged rewards_chosen",)


@pytest.mark.parametrize("name", ["loss", "grad_norm", "learning_rate", "logps_chosen", "logps_rejected"])
def test_a_half_without_what_every_training_logs_is_no_half(name: Quantity) -> None:
    values = {key: value for key, value in series().items() if key != name}
    with pytest.raises(ValidationError, match=f"logged no {name}"):
        Side.model_validate(side().model_dump() | {"series": values})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_half_holds_a_value_that_is_no_number(bad: float) -> None:
    with pytest.raises(ValidationError):
        side(loss=moved("loss", 3, bad))


def test_a_dtype_without_a_tolerance_is_an_error_that_says_where_to_state_one() -> None:
    half = side(computed="float16", weights="float16")
    with pytest.raises(ReceiptError, match="no tolerance is stated for products in float16") as raised:
        receipt(half, half)
    assert "tolerances.py" in raised.value.do


def test_an_ipo_loss_may_move_as_much_as_its_slope_makes_of_the_rounding() -> None:
    by = 0.9 * tolerances_for("bfloat16")["loss"].first * 2 * 5 * 230  # a loss of 25 has a slope of 10
    loss = tuple(25.0 for _ in range(STEPS))
    other = (25.0 + by, *loss[1:])
    ipo, sigmoid = {"losses": ("ipo",), "computed": "bfloat16"}, {"computed": "bfloat16"}
    assert found(side(loss=loss, **ipo), side("two", loss=other, **ipo)).agrees
    assert not found(side(loss=loss, **sigmoid), side("two", loss=other, **sigmoid)).agrees


# ---- what a program logged -----------------------------------------------------------------------------------------


def history() -> list[dict[str, float]]:
    columns = series()
    return [{"step": step + 1, **{name: columns[name][step] for name in columns}} for step in range(STEPS)]


def test_what_was_logged_becomes_a_value_a_step() -> None:
    assert series_of([{**step, "entropy": 4.0} for step in history()], "one") == series()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda steps: steps.clear(), r"logged the steps \[\]"),
        (lambda steps: steps.pop(3), "logged the steps"),
        (lambda steps: steps.reverse(), "logged the steps"),
        (lambda steps: steps[4].pop("loss"), "logged loss at 19 of 20 steps"),
        (lambda steps: steps[4].update(grad_norm=math.nan), "grad_norm is nan at step 5 on one"),
    ],
)
def test_a_history_that_is_not_whole_is_an_error(spoil: Any, told: str) -> None:
    steps = history()
    spoil(steps)
    with pytest.raises(ReceiptError, match=told):
        series_of(steps, "one")


# ---- the spec ------------------------------------------------------------------------------------------------------


def spec(folder: Path, steps: int = 40) -> dict[str, Any]:
    (folder / "pairs.jsonl").write_bytes(dump_lines({"id": number} for number in range(4 * steps)))
    return {"pairs": str(folder / "pairs.jsonl"), "steps": steps, "phase": {"max_steps": steps, "probe_prompts": 8}}


PHASE = Phase(max_steps=40, batch_size=4)


def test_the_first_steps_are_those_of_the_whole_training_with_references_of_their_own(tmp_path: Path) -> None:
    cut = first_spec(spec(tmp_path), PHASE, 20)
    assert (cut["first"], cut["steps"]) == (20, 40)  # the learning rate falls over 40
    assert [pair["id"] for pair in load_lines(Path(cut["pairs"]).read_bytes())] == list(range(80))
    assert Path(cut["cache"]).parent == Path(cut["checkpoints"]).parent == tmp_path
    assert Phase.model_validate(cut["phase"]).probe_every == 0
    assert cut["phase"]["checkpoint_every"] > 20


def test_a_training_of_fewer_steps_is_compared_whole_and_one_step_is_refused(tmp_path: Path) -> None:
    assert first_spec(spec(tmp_path, 12), PHASE, 20)["first"] == 12
    with pytest.raises(ReceiptError, match="would not see the optimizer"):
        first_spec(spec(tmp_path, 1), PHASE, 20)


class Down(LocalPool):
    def check(self) -> list[str]:
        return ["its worker is gone"]

    def device(self) -> Device:
        raise AssertionError("nothing is held")


def test_a_pool_that_is_down_is_found_before_the_other_is_held() -> None:
    with pytest.raises(PoolDown, match="the pool two can't run: its worker is gone"):
        refuse_down({"one": LocalPool(), "two": Down()}, ("one", "two"))
    for names in ((), ("one",), ("one", "one")):
        with pytest.raises(ReceiptError, match="compares two pools"):
            refuse_down(dict.fromkeys(names, LocalPool()), names)


# ---- keeping -------------------------------------------------------------------------------------------------------


def test_a_receipt_is_kept_in_the_store_and_under_its_devices_in_either_order(tmp_path: Path) -> None:
    store, one = Store(tmp_path / "store"), receipt()
    path, blob = keep_receipt(tmp_path, store, one)
    assert path.parent == tmp_path / "receipts" / "h100--mi355x"
    assert path.read_bytes() == store.read_bytes(blob)
    for devices in (("h100", "mi355x"), ("mi355x", "h100")):
        kept = newest_receipt(tmp_path, devices, SUBJECT.model, SUBJECT.phase)
        assert kept is not None
        assert kept.receipt == one


def test_the_newest_receipt_of_this_model_and_phase_is_taken(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    bad = moved("loss", 1, 0.1)
    for day, changes in ((1, {}), (3, {}), (2, {"loss": bad}), (4, {"model": digest_of("b")})):
        other = {name: value for name, value in changes.items() if name == "model"}
        keep_receipt(
            tmp_path, store, receipt(side(**other), side("two", "h100", **changes), datetime(2026, 11, day, tzinfo=UTC))
        )
    kept = newest_receipt(tmp_path, ("mi355x", "h100"), SUBJECT.model, SUBJECT.phase)
    assert kept is not None
    assert kept.receipt.created.startswith("2026-11-03")
    assert newest_receipt(tmp_path, ("mi355x", "h100"), SUBJECT.model, digest_of("other")) is None
    assert newest_receipt(tmp_path, ("mi355x", "h200"), SUBJECT.model, SUBJECT.phase) is None


def test_a_receipt_can_not_say_what_its_numbers_do_not(tmp_path: Path) -> None:
    disagrees = receipt(other=side("two", "h100", loss=moved("loss", 1, 0.1)))
    assert not disagrees.finding.agrees
    path, _ = keep_receipt(tmp_path, Store(tmp_path / "store"), disagrees)
    path.write_text(path.read_text().replace('"agrees": false', '"agrees": true'))
    with pytest.raises(ReceiptError, match="isn't what its own numbers say"):
        newest_receipt(tmp_path, ("mi355x", "h100"), SUBJECT.model, SUBJECT.phase)


def test_the_table_marks_what_lies_outside() -> None:
    text = in_words(receipt(other=side("two", "h100", grad_norm=moved("grad_norm", 2, 0.5))))
    (line,) = [line for line in text.splitlines() if line.startswith("!")]
    assert line.split()[1:3] == ["grad_norm", "2"]
    assert "mi355x and h100: disagrees: grad_norm at step 2" in text
    assert "agrees; worst difference" in in_words(receipt())


# ---- what a night is told ------------------------------------------------------------------------------------------


def told(home: Path, trained: str | None = "mi355x", champion: str | None = "h100") -> Any:
    return portability_of(home, Store(home / "store"), trained, champion, SUBJECT.model, SUBJECT.phase)


def test_a_night_on_the_champions_kind_of_device_has_nothing_to_show(tmp_path: Path) -> None:
    assert told(tmp_path, champion="mi355x") is None


def test_a_night_that_moved_shows_its_receipt_or_the_command_that_makes_one(tmp_path: Path) -> None:
    none = told(tmp_path)
    assert (none.finding, none.receipt) == ("none", None)
    assert "nightshift receipt RECIPE --pools A,B" in none.told
    store = Store(tmp_path / "store")
    _, blob = keep_receipt(tmp_path, store, receipt())
    agrees = told(tmp_path)
    assert (agrees.finding, agrees.receipt) == ("agrees", blob)
    assert agrees.told.startswith(
        "The candidate was trained on mi355x, the champion on h100: the receipt of 2026-11-26 agrees; worst difference"
    )
    keep_receipt(tmp_path, store, receipt(other=side("two", "h100", seed=9), now=NOW.replace(day=27)))
    disagrees = told(tmp_path, "h100", "mi355x")
    assert disagrees.finding == "disagrees"
    assert "another seed (3 on one, 9 on two)" in disagrees.told


@pytest.mark.parametrize(("trained", "champion"), [(None, "h100"), ("mi355x", None), (None, None)])
def test_a_device_that_was_not_recorded_is_not_taken_for_the_same(
    tmp_path: Path, trained: str | None, champion: str | None
) -> None:
    unknown = told(tmp_path, trained, champion)
    assert unknown.finding == "unknown"
    assert "was not recorded" in unknown.told


def test_a_receipt_that_can_not_be_read_is_named_and_no_older_one_stands_in_for_it(tmp_path: Path) -> None:
    path, _ = keep_receipt(tmp_path, Store(tmp_path / "store"), receipt())
    (path.parent / "support-damaged.json").write_text("{")
    unknown = told(tmp_path)
    assert (unknown.finding, unknown.receipt) == ("unknown", None)
    assert "support-damaged.json can't be read" in unknown.told


def test_when_a_training_is_stopped_or_looked_at_is_no_part_of_what_is_compared() -> None:
    one = Phase.model_validate({"max_steps": 40, "probe_every": 0, "health": {"max_kl": 9.0}})
    assert phase_digest(one) == phase_digest(Phase(max_steps=40))
    assert phase_digest(one) != phase_digest(Phase(max_steps=41))


def test_a_receipt_says_its_form_and_reads_as_it_was_written() -> None:
    one = receipt()
    data = json.loads(one.model_dump_json())
    assert data["form"] == "nightshift/receipt/1"
    assert Receipt.model_validate(data) == one
