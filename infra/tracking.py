"""MLflow tracking: one run a night, nested runs for what held a pool. Run ids are explicit; no global active run.

The registry (versions, aliases, tags) is not here: ``tasks.registry.client`` is its only client.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from infra.errors import ServerError
from infra.redact import redact
from infra.settings import load_settings, tracking_uri

EXPERIMENT = "nightshift"
_MAX_PARAM = 500  # MLflow cuts or refuses longer values, depending on its store


class Tracker:
    """A thin client over one tracking server or file."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        self.uri = uri
        self.client = MlflowClient(uri)
        self._artifacts = artifacts

    @property
    def on_server(self) -> bool:
        """Whether a server answers; else it is a file that this process opens itself."""
        return self.uri.startswith("http")

    def registry_store(self) -> Any:
        """What the client keeps a registry in: of a file, the store that the guard without a server looks at."""
        return self.client._get_registry_client().store

    def check(self) -> None:
        """Raise a ServerError that names the URI when MLflow doesn't answer."""
        try:
            self.client.search_experiments(max_results=1)
        except (MlflowException, OSError) as error:
            raise ServerError(
                f"MLflow at {self.uri} doesn't answer: {str(error).splitlines()[0][:200]}",
                do="start it (`nightshift up`), or unset NIGHTSHIFT_MLFLOW_TRACKING_URI to use a local file",
            ) from error

    def experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return found.experiment_id
        local = None if self.uri.startswith("http") else self._artifacts.as_uri()
        return self.client.create_experiment(EXPERIMENT, artifact_location=local)

    def night_run(self, night_id: str, name: str) -> str:
        """The night's run: the one a killed or repeated night began, else a new one."""
        experiment = self.experiment()
        found = self.client.search_runs([experiment], f"tags.`nightshift.night` = '{night_id}'", max_results=1)
        if found:
            return found[0].info.run_id
        return self._create(experiment, name, {"nightshift.night": night_id})

    def close_orphans(self, parent: str) -> None:
        """End nested runs that a killed night left open."""
        experiment = self.client.get_run(parent).info.experiment_id
        query = f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([experiment], query):
            self.end(run.info.run_id, "KILLED")

    def reopen(self, run: str) -> str:
        """Set it to RUNNING again; the status it had."""
        before = self.client.get_run(run).info.status
        self.client.update_run(run, status="RUNNING")
        return before

    def nested_run(self, parent: str, name: str) -> str:
        experiment = self.client.get_run(parent).info.experiment_id
        return self._create(experiment, name, {"mlflow.parentRunId": parent, "nightshift.step": name})

    def _create(self, experiment: str, name: str, tags: dict[str, str]) -> str:
        return self.client.create_run(experiment, tags=tags, run_name=name).info.run_id

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        """Log parameters once; a run that has them already keeps them."""
        known = self.client.get_run(run).data.params
        fresh = [Param(key, redact(str(value))[:_MAX_PARAM]) for key, value in values.items() if key not in known]
        self.client.log_batch(run, params=fresh)

    def metrics(self, run: str, values: Mapping[str, float], step: int = 0) -> None:
        stamp = int(time.time() * 1000)
        self.client.log_batch(run, metrics=[Metric(key, float(value), stamp, step) for key, value in values.items()])

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        self.client.log_batch(run, tags=[RunTag(key, redact(value)) for key, value in values.items()])

    def dataset(self, run: str, name: str, digest: str, context: str, profile: Mapping[str, Any]) -> None:
        """Log a dataset input under our digest (its first 36 hex digits: MLflow's limit)."""
        dataset = Dataset(
            name=name,
            digest=digest.removeprefix("sha256:")[:36],
            source_type="nightshift-store",
            source=json.dumps({"digest": digest}),
            profile=json.dumps(dict(profile)),
        )
        self.client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def artifact(self, run: str, path: Path, folder: str | None = None) -> None:
        self.client.log_artifact(run, str(path), folder)

    def artifacts(self, run: str, folder: Path, to: str | None = None) -> None:
        self.client.log_artifacts(run, str(folder), to)

    def has_artifact(self, run: str, name: str) -> bool:
        return bool(self.client.list_artifacts(run, name))

    def end(self, run: str, status: str) -> None:
        """Set a run's status: FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run, status)

    @contextmanager
    def ending(self, run: str) -> Iterator[None]:
        """The run ends as what is done inside does: FINISHED, or FAILED whatever was raised."""
        try:
            yield
        except BaseException:  # also where the night is stopped
            self.end(run, "FAILED")
            raise
        self.end(run, "FINISHED")

    def url(self, run: str) -> str:
        return f"{self._page()}/#/experiments/{self.client.get_run(run).info.experiment_id}/runs/{run}"

    def version_url(self, name: str, number: int) -> str:
        return f"{self._page()}/#/models/{name}/versions/{number}"

    def _page(self) -> str:
        """Where MLflow's pages are; without a server, where ``nightshift up`` will show them."""
        settings = load_settings()
        # links are kept in reports, summaries and artifacts: a password of the URI must not be in them
        server = redact(self.uri.rstrip("/")) if self.uri.startswith("http") else None
        return server or f"http://{settings.host}:{settings.mlflow_port}"


def tracker() -> Tracker:
    settings = load_settings()
    return Tracker(tracking_uri(settings), settings.home / "mlartifacts")
