"""From what a training left behind to its row; and how rows are kept."""

import json
from pathlib import Path

import pytest

from infra.attempts import Device
from infra.digest import digest_of
from infra.store import Store, Tree
from tasks.compare.kept import keep, kept, path_of
from tasks.compare.outcome import distance_of, ended, finished, spent_of
from tasks.compare.trials import baselines_at, trial_id
from tasks.compared import Distance, Trial
from tasks.contracts import Candidate, Model, Preferences, Suites
from tasks.errors import CompareError, PlanError, Unhealthy
from tasks.parts import LINES
from tests.unit.compare.figures_made import marks, training
from tests.unit.compare.test_phases import REWARDED, recipe
from tests.unit.cost.bills import bill, line

CPU = Device(pool="local", kind="cpu", count=1, accelerator=False)
MODEL = Model(base=Tree(digest_=digest_of("base"), files=()))


def trial(named: str = "dpo", **changes: object) -> Trial:
    given = recipe(compare=REWARDED)
    phase = given.phase[0].model_copy(update=changes)
    return Trial(method=named, recipe=given.model_copy(update={"phase": (phase,)}))


def test_what_trained_is_counted_with_failed_attempts_and_what_is_alike_for_all_is_not() -> None:
    found = spent_of(
        bill(
            line("decide", 0.1, device="cpu"),
            line("train_apart", 10.0, attempts=2, failed=1, peak_memory_bytes=5, planned_memory_bytes=7),
            line("sample", 2.0, estimated=True, meter=None, peak_memory_bytes=9),
            line("score", 4.0),
        )
    )
    assert found is not None
    assert (found.steps, found.amount, found.whole_amount) == (("sample", "train_apart"), 12.0, 16.1)
    assert (found.attempts, found.failed, found.device_hours, found.gpu_hours) == (3, 1, 8.0, 8.0)
    assert (found.peak_memory_bytes, found.planned_memory_bytes, found.estimated, found.meter) == (9, 7, True, "zeus")
    assert spent_of(bill(line("score"), line("decide"))) is None


def test_the_last_look_at_the_answers_is_the_distance_and_no_look_is_no_zero() -> None:
    looks = [{"loss": 1.0, "probe_tokens": 9.0, "probe_base_tokens": 3.0, "probe_kl": 0.9}, {"loss": 0.5}]
    late = [*looks, {"probe_tokens": 6.0, "probe_base_tokens": 3.0, "probe_kl": 0.2}]
    scored = Distance(anchor_kl=0.5)
    assert distance_of(late, scored) == Distance(kl=0.2, length_ratio=2.0, anchor_kl=0.5)
    assert distance_of(looks, scored).kl == 0.9
    assert distance_of([{"loss": 1.0}], scored) == scored
    silent = [{"probe_tokens": 6.0, "probe_base_tokens": 0.0}]
    assert distance_of(silent, scored).length_ratio is None


def test_a_finished_training_says_which_preferences_it_was_shown_and_how_many_answers_it_drew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = [b'{"id": "b"}', b'{"id": "a"}']
    candidate = Candidate(
        model=MODEL,
        preferences=digest_of("p"),
        recipe=digest_of("r"),
        history=store.put_json([{"loss": 1.0}, {"loss": 0.5}]),
        pairs=store.put_bytes(b"\n".join(ids), LINES),
        mlflow_run="",
        peak_memory_bytes=77,
    )
    found = ([marks("house", [1.0])], Distance())
    spent = bill(line("train_apart"))
    row = finished(trial(), CPU, candidate, found, spent, store)
    assert (row.shown, row.shown_digest, row.drawn, row.steps) == (2, digest_of(["b", "a"]), 0, 2)
    assert row.spent is not None
    assert row.spent.peak_memory_bytes == 77  # no gauge saw it
    ppo = trial("ppo", method="ppo", group_size=4, reward=("not_refused",))
    assert finished(ppo, CPU, candidate, found, spent, store).drawn == 8
    gauged = bill(line("train_apart", peak_memory_bytes=5))
    one = finished(trial(), CPU, candidate, found, gauged, store).spent
    assert one is not None
    assert one.peak_memory_bytes == 5


def test_what_ends_a_training_is_its_row_and_only_an_unhealthy_one_is_a_result(tmp_path: Path) -> None:
    sick = ended(trial(), CPU, Unhealthy("it forgot", do="lower the rate"), bill(line("train_apart")))
    lost = ended(trial(), CPU, PlanError("too large", do="take another pool"), bill())
    odd = ended(trial(), CPU, KeyError(), bill())
    assert (sick.state, sick.why) == ("Unhealthy", "it forgot -> lower the rate")
    assert sick.spent is not None
    assert (lost.state, lost.spent, odd.why) == ("Failed", None, "KeyError")
    one, other = digest_of("one"), digest_of("other")
    keep(tmp_path, one, sick)
    keep(tmp_path, other, lost)
    assert (kept(tmp_path, one), kept(tmp_path, other)) == (sick, None)


def test_a_row_that_cant_be_read_is_not_paid_for_again_in_silence(tmp_path: Path) -> None:
    id_ = digest_of("one")
    keep(tmp_path, id_, training("dpo", 0, [marks("house", [0.5])]))
    text = path_of(tmp_path, id_).read_text()
    path_of(tmp_path, id_).write_text(text[:-20])
    with pytest.raises(CompareError, match=r"trained.json can't be read"):
        kept(tmp_path, id_)
    path_of(tmp_path, id_).write_text(json.dumps(json.loads(text) | {"steps": "many"}))
    with pytest.raises(CompareError, match="can't be read"):
        kept(tmp_path, id_)


def test_a_training_is_known_by_all_that_decides_its_figures_and_by_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    blob, tree = store.put_bytes(b"", LINES), MODEL.base
    preferences = Preferences(
        train=blob, house=blob, quarantine=blob, profile=blob, data_docs=tree, page=blob, n_train=1, n_house=1,
        n_held_out=1, n_quarantined=0, warnings=(),
    )  # fmt: skip
    suites = Suites(suites=blob, guarded=blob, problems=())

    def known(one: Trial, of: Preferences = preferences, code: tuple[str, ...] = ("1",), anew: str = "") -> str:
        return trial_id(one, of, MODEL, suites, code, anew)

    same = known(trial())
    tables = trial()
    assert known(tables.model_copy(update={"recipe": tables.recipe.model_copy(update={"compare": {}})})) == same
    others = [
        known(trial("ipo")),
        known(trial(beta=0.2)),
        known(trial(packing=False)),  # the same result, and other costs
        known(trial().model_copy(update={"recipe": trial().recipe.model_copy(update={"seed": 6})})),
        known(trial().model_copy(update={"recipe": trial().recipe.model_copy(update={"pool": "other"})})),
        known(trial(), preferences.model_copy(update={"n_train": 2})),
        known(trial(), code=("2",)),
        known(trial(), anew="again"),
    ]
    assert len({same, *others}) == len(others) + 1


def test_the_start_is_in_the_places_of_champion_and_anchor_and_trained_on_nothing() -> None:
    found = baselines_at(MODEL)
    assert found.champion == found.anchor
    assert found.champion is not None
    assert (found.champion.model, found.champion.trained_on, found.nights) == (MODEL, None, ())
