"""An outcome is made of Slurm's books and of what the job left in its folder."""

from pathlib import Path

from infra.slurm.ends import held_now, outcome_of, with_usage
from infra.slurm.follow import Step
from infra.slurm.records import allocations
from infra.usage import Usage
from tests.unit.infra.slurm.examples import answer, launch, queued_job, row

NOTHING = Usage(kwh=None, meter=None, busy=None, peak_memory_bytes=None)


def test_it_holds_what_is_billed_and_what_was_metered_in_the_job(tmp_path: Path) -> None:
    usage = Usage(kwh=1.5, meter="zeus", busy=0.8, peak_memory_bytes=10)
    said = answer(exit_code=0, usage=usage)
    (tmp_path / "answer.json").write_text(said.model_dump_json())
    (tmp_path / "usage-1.json").write_text(
        usage.model_copy(update={"busy": 0.6, "peak_memory_bytes": 12}).model_dump_json()
    )
    found = outcome_of(Step("7", None, over=True, rows=(row(),)), launch(folder=str(tmp_path)), asked=False)
    (held,) = found.allocations
    assert (held.kwh, held.meter, held.busy, held.peak_memory_bytes) == (3.0, "zeus", 0.7, 12)
    assert (found.kind, found.exit_code, held.devices) == ("completed", 0, 16)


def test_the_answer_of_another_job_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text(answer(key="ns-other-0").model_dump_json())
    rows = (row(state="FAILED", exit_code=1),)
    found = outcome_of(Step("7", None, over=True, rows=rows), launch(folder=str(tmp_path)), asked=False)
    assert "before its program began" in found.what


def test_energy_is_a_sum_only_where_every_node_was_metered() -> None:
    held = allocations([row()], 1)
    metered = NOTHING.model_copy(update={"kwh": 1.0, "meter": "zeus"})
    assert with_usage(held, [metered, NOTHING], nodes=2)[0].kwh is None
    assert with_usage(held, [metered], nodes=2)[0].kwh is None  # the other was killed before it could say
    assert with_usage(held, [metered, metered], nodes=2)[0].kwh == 2.0


def test_slurm_s_own_meter_goes_before_ours() -> None:
    held = allocations([row(joules=7.2e6)], 1)
    metered = NOTHING.model_copy(update={"kwh": 9.0, "meter": "zeus"})
    (found,) = with_usage(held, [metered], nodes=1)
    assert (found.kwh, found.meter) == (2.0, "slurm")


def test_a_cluster_without_accounting_is_billed_by_its_queue(tmp_path: Path) -> None:
    last = queued_job(state="COMPLETED", started=100.0, ended=160.0)
    found = outcome_of(Step("7", last, over=True), launch(folder=str(tmp_path)), asked=False)
    (held,) = found.allocations
    assert (held.started, held.ended, held.devices) == (100.0, 160.0, 16)


def test_what_a_running_job_holds_has_the_name_of_its_row_in_the_books() -> None:
    held = held_now(queued_job(restarts=1), launch())
    rows = [row(state="PREEMPTED"), row(started=1500.0, ended=1600.0)]
    assert held is not None
    assert held.id == allocations(rows, 1)[1].id
    assert (held.ended, held.devices, held.started) == (None, 16, 1100.0)
    assert held_now(queued_job(state="PENDING"), launch()) is None
    assert held_now(queued_job(state="COMPLETED"), launch()) is None


def test_a_job_that_nobody_knows_has_vanished(tmp_path: Path) -> None:
    found = outcome_of(Step("7", None, over=True), launch(folder=str(tmp_path)), asked=False)
    assert (found.kind, found.allocations) == ("vanished", ())
