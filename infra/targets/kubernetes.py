"""Kubernetes: a rollout of one Deployment by server-side apply, waited for until its pods serve."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
from kubernetes_validate import utils
from packaging.version import Version
from pydantic import Field, SecretStr

from infra.errors import TargetError
from infra.targets.base import Pointer, Target, refuse_other
from infra.targets.http import as_object, client, host_of, send, why_not_private
from infra.targets.rollout import MANAGER, Names, Object, apply_patch, merged, pointer_of, rollout, why_refused

# where a pod finds its own service account
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
APPLY = "application/apply-patch+yaml"  # JSON is YAML
EXAMPLE = Pointer(
    name="check",
    version=1,
    model="sha256:" + "0" * 64,
    artefact="s3://check/check",
    manifest="sha256:" + "0" * 64,
    at="2026-01-01T00:00:00+00:00",
)


class KubernetesTarget(Target):
    """Sets two variables, an annotation and, where wanted, the image of one container; owns nothing else."""

    _block_type_name = "Nightshift Kubernetes target"
    _block_type_slug = "nightshift-kubernetes"
    _description = "Rolls a Deployment out to the promoted version, by server-side apply."

    namespace: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="The Deployment's namespace.")
    deployment: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", description="Its name; it must exist already."
    )
    container: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="The container that serves.")
    image: str | None = Field(
        default=None, description="Image of a version, with {version} or {served_name}. Unset: the image stays."
    )
    server: str = Field(default="https://kubernetes.default.svc", description="The API server.")
    token: SecretStr | None = Field(default=None, description="A bearer token. Unset: this pod's service account.")
    ca: str | None = Field(default=None, description="The API server's CA, PEM. Unset: this pod's service account.")
    force: bool = Field(default=False, description="Take fields of ours over from another manager.")
    rollout_seconds: float = Field(default=600, gt=0, le=7200, description="How long a rollout may take.")
    poll_seconds: float = Field(default=3, gt=0, le=60, description="Between two looks at a rollout.")

    def check(self) -> list[str]:
        problems = self.endpoint_problems()
        try:
            live = self._deployment()
            to = pointer_of(live) or EXAMPLE
            problems += self._invalid(live, to)
            if live["spec"].get("replicas", 1) == 0:
                problems.append(f"the Deployment {self.deployment} has 0 replicas: scale it up")
            # the server's own answer to the same request: rights, conflicts, admission. Nothing is changed.
            self._apply(to, dry=True)
            self._pods(live)
        except TargetError as error:
            problems.append(error.what)
        return problems

    def point(self, to: Pointer) -> None:
        live = self._deployment()
        held = pointer_of(live)
        refuse_other(to.name, held, f"the Deployment {self.deployment}")
        if not to.same(held):
            for problem in self._invalid(live, to):
                raise TargetError(problem, do="mend the Deployment or the target's fields; nothing was applied")
            self._apply(to, dry=False)
        self._wait(to)

    def points_to(self) -> Pointer | None:
        return pointer_of(self._deployment())

    @property
    def _names(self) -> Names:
        return Names(self.namespace, self.deployment, self.container)

    def _invalid(self, live: Object, to: Pointer) -> list[str]:
        """What the strict schema says of the Deployment as it would be."""
        changed = merged(live, apply_patch(self._names, to, self.image), self.container)
        return invalid(changed, str(self._get("/version").get("gitVersion", "")))

    def _deployment(self) -> dict[str, Any]:
        return self._get(self._path)

    def _pods(self, live: Object) -> list[dict[str, Any]]:
        labels = live["spec"]["selector"].get("matchLabels") or {}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = self._get(f"/api/v1/namespaces/{self.namespace}/pods", {"labelSelector": selector})
        return found.get("items") or []

    def _apply(self, to: Pointer, *, dry: bool) -> None:
        options = {"fieldManager": MANAGER, "force": str(self.force).lower(), "fieldValidation": "Strict"}
        if dry:
            options["dryRun"] = "All"
        patch = apply_patch(self._names, to, self.image)
        self._request("PATCH", self._path, params=options, json=patch, headers={"Content-Type": APPLY})

    def _wait(self, to: Pointer) -> None:
        end = time.monotonic() + self.rollout_seconds
        while True:
            live = self._deployment()
            held = pointer_of(live)
            if not to.same(held):
                raise TargetError(
                    f"somebody pointed {self.deployment} to {held.words if held else 'nothing'} while "
                    f"{to.words} was rolled out",
                    do="find out who; then promote or roll back again",
                )
            state = rollout(live, self._pods(live), to)
            if state.problem is not None:
                raise TargetError(f"{to.words} can't be rolled out: {state.problem}", do="mend that, then run it again")
            if state.waits_for is None:
                return
            if time.monotonic() > end:
                raise TargetError(
                    f"{to.words} wasn't rolled out within {self.rollout_seconds:.0f} s; it waits for {state.waits_for}",
                    do="see `kubectl rollout status`; raise rollout_seconds if the model takes longer to load",
                )
            time.sleep(self.poll_seconds)

    @property
    def _path(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.deployment}"

    def _get(self, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        return self._request("GET", path, params=params)

    def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        url = self.server.rstrip("/") + path
        with self._client() as asked:
            status, body, _ = send(asked, method, url, **options)
        answer = as_object(body, host_of(url))
        if not 200 <= status < 300:
            what, do = why_refused(status, answer, self._names)
            raise TargetError(what, do=do)
        return answer

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        reason = why_not_private(self.server)
        if reason is not None:
            raise TargetError(f"the token would be sent to {reason}", do="give the API server's https URL")
        # read each time: the kubelet renews a pod's token within the hour
        token = self.token.get_secret_value() if self.token else _of_account("token")
        ca = (self.ca or _of_account("ca.crt")) if self.server.startswith("https:") else None
        headers = {"Authorization": f"Bearer {token.strip()}"}
        with client(self.server, 30, headers, ca) as found:
            yield found


def invalid(manifest: Object, cluster: str = "") -> list[str]:
    """What is wrong with a manifest by the strict schema of the cluster's version, one sentence.

    Args:
        cluster: its version, e.g. ``v1.34.1``; a later one than is known, or none, is held against the latest known.
    """
    try:
        kubernetes_validate.validate(dict(manifest), _schema_version(cluster), strict=True)
    except kubernetes_validate.ValidationError as error:
        at = ".".join(str(part) for part in error.path) or "its top"
        kind, name = manifest.get("kind"), (manifest.get("metadata") or {}).get("name")
        return [f"{kind} {name} is invalid at {at}: {_rule(error)}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [f"there is no schema to hold it against: {error.message}"]
    return []


def _rule(error: kubernetes_validate.ValidationError) -> str:
    """The broken rule, without the value that breaks it: variables of a container may be secrets."""
    if error.validator in ("additionalProperties", "required"):
        return str(error.message)[:200]  # names of fields only
    return f"{error.validator} must be {str(error.validator_value)[:100]}"


def _schema_version(cluster: str) -> str:
    """The latest known version that isn't later than the cluster's."""
    known = sorted({Version(one) for one in utils.all_versions()})
    found = re.match(r"v?(\d+)\.(\d+)", cluster)
    asked = (int(found[1]), int(found[2])) if found else known[-1].release
    return str(max((one for one in known if one.release[:2] <= asked), default=known[0]))


def _of_account(file: str) -> str:
    try:
        return (ACCOUNT / file).read_text()
    except OSError as error:
        raise TargetError(
            f"the target has no {'token' if file == 'token' else 'ca'}, and this machine is no pod with a service "
            f"account: {ACCOUNT / file}: {error.strerror}",
            do="set token and ca on the block, or run in the cluster",
        ) from None
