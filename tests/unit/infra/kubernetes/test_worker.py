"""From a work pool's template and a launch's job variables to what the worker makes, as Prefect fills it."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from infra.errors import PoolError
from infra.kubernetes import examples, pods
from infra.kubernetes.configuration import Configuration
from infra.kubernetes.place import Manifest
from infra.kubernetes.states import state_of
from infra.kubernetes.template import base_job_template
from infra.kubernetes.trainjob import train_job
from infra.kubernetes.validate import problems
from infra.kubernetes.worker import NightshiftKubernetesWorker, launch_of
from infra.outcome import LOST, Outcome

LOGIN = "somebody:something"


def made(**more: Any) -> Configuration:
    """The worker's configuration of a flow run, prepared with an API's address and login in Prefect's settings."""
    values = pods.job_variables(examples.launch(), examples.PLACE) | more

    async def go() -> Configuration:
        no_client: Any = object()  # nothing of the template is to be looked up
        found = await Configuration.from_template_and_values(base_job_template(), values, client=no_client)
        found.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="align"))
        return found

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_API_AUTH_STRING: LOGIN}):
        return anyio.run(go)


def without_prefects(manifest: Manifest) -> Manifest:
    """Less the labels by which Prefect marks what it made."""
    template = manifest["spec"]["template"]
    return manifest | {
        "metadata": manifest["metadata"] | {"labels": _ours(manifest["metadata"]["labels"])},
        "spec": manifest["spec"]
        | {
            "template": template
            | {"metadata": template["metadata"] | {"labels": _ours(template["metadata"]["labels"])}}
        },
    }


def _ours(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name.startswith(("nightshift", "kueue"))}


def test_the_job_shown_in_the_docs_is_what_the_worker_makes() -> None:
    manifest = made().manifest()
    shown = examples.job(examples.launch(), examples.PLACE)
    found = without_prefects(manifest)
    assert found == shown
    assert problems(manifest) == []
    assert "prefect.io/flow-run-id" in manifest["metadata"]["labels"]


def test_neither_prefects_api_nor_its_login_reaches_a_pod() -> None:
    text = str(made().manifest())
    assert "PREFECT" not in text
    assert LOGIN not in text
    assert "127.0.0.1:9" not in text


def test_a_job_is_named_by_its_launchs_key_so_that_it_can_be_made_once_only() -> None:
    metadata = made().manifest()["metadata"]
    assert metadata["name"] == examples.launch().key
    assert "generateName" not in metadata


def test_of_several_nodes_the_trainjob_is_made_in_the_jobs_place() -> None:
    two = train_job(examples.launch(2), examples.PLACE)
    assert made(train_job=two).manifest() == two


def test_a_work_pool_of_our_type_gets_our_template() -> None:
    assert NightshiftKubernetesWorker.get_default_base_job_template() == base_job_template()


def run_of(path: Path | str) -> FlowRun:
    return FlowRun(flow_id=uuid4(), name="align", parameters={"launch": str(path)})


def test_a_launch_plan_elsewhere_than_under_the_home_is_not_read(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "launch.json"
    other.write_text(examples.launch().model_dump_json())
    for path in (other, home / ".." / other.parent.name / "launch.json", ""):
        with pytest.raises(PoolError, match="doesn't lie under"):
            launch_of(run_of(path))
    (home / "launch.json").write_text(examples.launch().model_dump_json())
    assert launch_of(run_of(home / "launch.json")) == examples.launch()


def test_a_plan_that_the_worker_does_not_see_names_the_claim(home: Path) -> None:
    with pytest.raises(PoolError, match="can't be read here") as raised:
        launch_of(run_of(home / "launch.json"))
    assert "mount the claim" in raised.value.do


@pytest.mark.parametrize("kind", [*sorted(LOST), "failed", "time_limit", "out_of_memory", "held", "refused"])
def test_an_end_that_is_no_success_is_a_state_that_names_it(kind: Any) -> None:
    state = state_of(Outcome(key="k", job="j", kind=kind, what="what happened", do="what to do"))
    assert state.is_crashed() == (kind in LOST)
    assert state.is_final()
    assert state.name not in (None, "Completed")
    assert state.message is not None
    assert "what to do" in state.message
