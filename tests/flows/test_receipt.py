"""`nightshift receipt`: real trainings through the command, and nights that moved to another kind of device.

Both pools here are this machine's CPU: a process of the night on one thread, and the launch plan of a remote pool,
run without a scheduler (``infra.run_here``) on two. No AMD or NVIDIA device is compared.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

import infra.pools
from flows.bills import bill
from flows.calls import call_flow
from flows.cli import main
from flows.initial import init_recipe
from flows.nightly import nightly
from flows.promotion import approve
from infra.attempts import record_allocation
from infra.events import parse
from infra.launch import Launch
from infra.outcome import Outcome
from infra.pools.base import OnEvent, Program
from infra.pools.local import LocalPool
from infra.pools.remote import RemotePool
from infra.run_here import run_here
from infra.store import Store
from tasks.receipts import Receipt
from tasks.registry.steps import evidence_of, registry_of
from tests.conftest import write_pairs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


class HerePool(RemotePool):
    """A remote pool's launch plan and job program, without a worker: its job runs here, on two threads."""

    _block_type_name = "Nightshift pool of a test"
    _block_type_slug = "nightshift-test-pool"
    KIND: ClassVar[str] = "here"
    work_pool: str = "here"
    spoil: ClassVar[dict[str, Any]] = {}  # what its job is told otherwise

    def worker(self) -> Any:
        raise AssertionError("no worker is asked")

    def job_variables(self, launch: Launch) -> dict[str, Any]:
        raise AssertionError("no worker is asked")

    def check(self) -> list[str]:
        return []

    def launch(self, program: Program, key: str) -> Launch:
        spec = json.loads(Path(program.spec).read_text())
        phase = spec["phase"] | self.spoil
        Path(program.spec).write_text(json.dumps(spec | {"threads": 2, "phase": phase}))
        return super().launch(program, key)

    def _one(self, launch: Launch, on_event: OnEvent) -> Outcome:
        folder = Path(launch.folder)
        (folder / "launch.json").write_text(launch.model_dump_json())
        outcome = run_here(str(folder / "launch.json"))
        for line in (folder / "events.jsonl").read_text().splitlines():
            if (event := parse(line)) is not None:
                on_event(event)
        for allocation in outcome.allocations:
            record_allocation(allocation)
        return outcome


@pytest.fixture
def started(home: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTSHIFT_THREADS", "1")
    monkeypatch.setitem(infra.pools.POOLS, "here", HerePool)
    monkeypatch.setattr(HerePool, "spoil", {})
    init_recipe(str(tiny_recipe), once=False)
    return tiny_recipe


def kept(home: Path) -> list[Receipt]:
    return [Receipt.model_validate_json(path.read_text()) for path in sorted(home.glob("receipts/cpu--cpu/*.json"))]


def test_two_pools_agree_and_the_receipt_is_kept_billed_and_leaves_no_model(
    started: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["receipt", str(started), "--pools", "local,here", "--steps", "6"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Receipt of tiny: the first 6 of ")
    assert "cpu and cpu: agrees; worst difference" in told
    (receipt,) = kept(home)
    one, other = receipt.sides
    assert (one.pool, one.machine.threads, one.doctor) == ("local", 1, None)
    assert (other.pool, other.machine.threads) == ("here", 2)
    store = Store(home / "store")
    assert other.doctor is not None
    assert {"python", "torch"} <= {finding["what"] for finding in json.loads(store.read_bytes(other.doctor))}
    assert one.subject == other.subject
    # nothing is left of it but the receipt and its bill
    assert not list(home.glob("work/receipt-*/**/*.safetensors"))
    assert not list(home.glob("work/receipt-*/checkpoints/checkpoint-*"))
    assert len(registry_of("tiny").versions()) == 1
    assert not (home / "last-night").exists()
    (currency,) = json.loads(bill(None, None, None, None, json_wanted=True))["currencies"]
    assert [row["name"] for row in currency["by_outcome"] if row["nights"]] == ["receipt"]
    assert {row["name"] for row in currency["by_pool"]} == {"local", "here"}


def test_a_pool_that_trains_otherwise_disagrees_and_one_that_fails_is_billed_and_harms_no_night(
    started: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["receipt", str(started), "--pools", "here,local", "--steps", "4"]
    monkeypatch.setattr(HerePool, "spoil", {"beta": 0.2})
    assert main([*ask, "--json"]) == 1
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    finding = Receipt.model_validate(made["receipt"]).finding
    assert finding.differs == ()  # the night asked both for the same: only the numbers can tell
    assert {one.quantity for one in finding.worst if not one.holds} >= {"rewards_margins", "grad_norm", "loss"}
    assert Path(made["file"]).is_file()

    monkeypatch.setattr(HerePool, "spoil", {"method": "moon"})
    assert main(ask) == 1
    assert "nightshift receipt: " in capsys.readouterr().err
    assert len(kept(home)) == 1
    (currency,) = json.loads(bill(None, None, None, None, json_wanted=True))["currencies"]
    assert {row["name"]: row["nights"] for row in currency["by_outcome"] if row["nights"]} == {"receipt": 2}
    assert not (home / "last-night").exists()
    for pools, why in (("local", "a parameter is invalid"), ("local,local", "compares two pools"), ("a,b", "no pool")):
        assert main(["receipt", str(started), "--pools", pools]) == 1
        assert why in capsys.readouterr().err


def test_a_night_that_moved_carries_its_receipt_in_evidence_report_and_registry(
    started: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> dict[str, Any]:
        return call_flow(nightly, recipe=str(started), overrides=[], fresh=False)

    # the champion is the base model, which nobody trained here: nothing has moved
    first = run()
    assert evidence_of("tiny", first["version"]).portability is None
    assert "nightshift.portability" not in registry_of("tiny").version(first["version"]).tags
    call_flow(approve, version=first["version"], name="tiny")

    monkeypatch.setattr(LocalPool, "device_kind", lambda self: "mi355x")
    assert main(["receipt", str(started), "--pools", "local,here", "--steps", "4"]) == 0
    (path,) = home.glob("receipts/cpu--mi355x/*.json")
    write_pairs(tmp_path / "pairs.jsonl", 500, seed=1)
    moved = run()
    portability = evidence_of("tiny", moved["version"]).portability
    assert portability is not None
    assert (portability.trained, portability.champion) == ("mi355x", "cpu")
    assert portability.finding == "agrees"
    assert portability.receipt is not None
    assert Store(home / "store").read_bytes(portability.receipt) == path.read_bytes()
    assert registry_of("tiny").version(moved["version"]).tags["nightshift.portability"] == "agrees"
    assert [one.read_bytes() for one in home.glob("mlartifacts/**/evidence/receipt.json")] == [path.read_bytes()]
    page = (Path((home / "last-night").read_text()) / "report.html").read_text()
    assert "The candidate was trained on mi355x, the champion on cpu: the receipt of" in page
