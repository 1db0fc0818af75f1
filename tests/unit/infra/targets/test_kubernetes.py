"""The Kubernetes target against FakeKubernetesApi, a simulation over real HTTP; manifests against strict schemas."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_validate.utils import resources_from_file
from pydantic import SecretStr

from infra.errors import TargetError
from infra.settings import ROOT
from infra.targets import kubernetes
from infra.targets.base import Pointer
from infra.targets.kubernetes import KubernetesTarget, invalid
from infra.targets.rollout import Names, apply_patch, merged, rollout, why_stuck
from tests.outside import FakeKubernetesApi, certificate, deployment, http_server

TOKEN = "token-of-the-service"
NAMES = Names("serving", "llm", "vllm")


def pointer(version: int, name: str = "shop") -> Pointer:
    return Pointer(
        name=name,
        version=version,
        model=f"sha256:{version:064x}",
        artefact=f"s3://models/{name}/{version}",
        manifest=f"sha256:{version + 1:064x}",
        at="2026-11-26T02:00:00+00:00",
    )


@pytest.fixture
def api() -> FakeKubernetesApi:
    return FakeKubernetesApi(TOKEN)


@pytest.fixture
def server(api: FakeKubernetesApi) -> Iterator[str]:
    with http_server(api) as url:
        yield url


@pytest.fixture
def target(server: str) -> KubernetesTarget:
    return target_at(server)


def target_at(server: str, **more: Any) -> KubernetesTarget:
    fields: dict[str, Any] = {"namespace": "serving", "deployment": "llm", "container": "vllm", "unprobed": True}
    fields |= {"server": server, "token": SecretStr(TOKEN), "poll_seconds": 0.01, "rollout_seconds": 5}
    return KubernetesTarget(**(fields | more))


def env(api: FakeKubernetesApi) -> dict[str, str]:
    assert api.live is not None
    container = next(one for one in api.live["spec"]["template"]["spec"]["containers"] if one["name"] == "vllm")
    return {one["name"]: one["value"] for one in container["env"]}


def test_pointing_rolls_the_deployment_out_and_waits_for_its_new_pods(
    api: FakeKubernetesApi, target: KubernetesTarget
) -> None:
    assert target.points_to() is None
    target.point(pointer(4))
    assert target.points_to() == pointer(4)
    assert env(api) == {
        "HF_HUB_OFFLINE": "1",
        "NIGHTSHIFT_MODEL_URL": "s3://models/shop/4",
        "NIGHTSHIFT_SERVED_NAME": "shop-4-000000000000",
    }
    assert api.live is not None
    assert api.live["status"]["updatedReplicas"] == 2


def test_the_apply_is_server_side_names_its_manager_and_holds_our_fields_only(
    api: FakeKubernetesApi, target: KubernetesTarget
) -> None:
    target.point(pointer(4))
    (request,) = api.applied
    assert request.headers["content-type"] == "application/apply-patch+yaml"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.query == {"fieldManager": "nightshift", "force": "false", "fieldValidation": "Strict"}
    assert json.loads(request.body) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llm", "namespace": "serving"},
        "spec": {
            "template": {
                "metadata": {"annotations": {"nightshift-pointer": pointer(4).model_dump_json()}},
                "spec": {
                    "containers": [
                        {
                            "name": "vllm",
                            "env": [
                                {"name": "NIGHTSHIFT_SERVED_NAME", "value": "shop-4-000000000000"},
                                {"name": "NIGHTSHIFT_MODEL_URL", "value": "s3://models/shop/4"},
                            ],
                        }
                    ]
                },
            }
        },
    }


def test_pointing_twice_applies_once_even_at_another_time(api: FakeKubernetesApi, target: KubernetesTarget) -> None:
    target.point(pointer(4))
    target.point(pointer(4).model_copy(update={"at": "2026-11-27T02:00:00+00:00"}))
    assert len(api.applied) == 1


def test_a_rollout_that_was_cut_off_is_waited_for_by_the_next_run(
    api: FakeKubernetesApi, target: KubernetesTarget
) -> None:
    api.looks = 10_000
    with pytest.raises(TargetError, match="waits for new pods: 1 of 2 there"):
        target_at(target.server, rollout_seconds=0.05).point(pointer(4))
    with pytest.raises(TargetError, match="wasn't rolled out within 0 s"):
        target_at(target.server, rollout_seconds=0.05).point(pointer(4))
    assert len(api.applied) == 1


def test_an_image_of_the_version_is_applied_where_it_is_asked_for(server: str, api: FakeKubernetesApi) -> None:
    target_at(server, image="registry.local/llm:{served_name}").point(pointer(4))
    container = json.loads(api.applied[0].body)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.local/llm:shop-4-000000000000"


def test_an_image_with_an_unknown_brace_is_refused_and_nothing_is_applied(server: str, api: FakeKubernetesApi) -> None:
    with pytest.raises(TargetError, match="has a brace that stands for nothing"):
        target_at(server, image="llm:{tag}").point(pointer(4))
    assert api.applied == []


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("ImagePullBackOff", "check its name, and the namespace's pull secret"),
        ("CrashLoopBackOff", "read the pod's log"),
        ("CreateContainerConfigError", "config map or secret"),
    ],
)
def test_a_pod_that_can_not_start_is_named_with_the_next_action(
    api: FakeKubernetesApi, target: KubernetesTarget, reason: str, advice: str
) -> None:
    api.waiting = reason
    with pytest.raises(TargetError, match=f"pod llm-new, container vllm: {reason}: .*{advice}"):
        target.point(pointer(4))


def test_trouble_of_a_pod_of_the_version_before_is_not_taken_for_this_ones(
    api: FakeKubernetesApi, target: KubernetesTarget
) -> None:
    target.point(pointer(4))  # the fake always has an old pod in CrashLoopBackOff
    assert target.points_to() == pointer(4)


def test_a_rollout_that_does_not_progress_is_an_error_with_the_clusters_reason(
    api: FakeKubernetesApi, target: KubernetesTarget
) -> None:
    api.progressing = False
    with pytest.raises(TargetError, match="doesn't progress \\(ProgressDeadlineExceeded: slow\\)"):
        target.point(pointer(4))


def test_a_token_without_the_right_to_patch_is_told_which_role_to_bind(
    api: FakeKubernetesApi, target: KubernetesTarget
) -> None:
    api.forbidden = {"patch"}
    with pytest.raises(TargetError, match="may not touch the Deployment llm in serving: cannot patch") as refused:
        target.point(pointer(4))
    assert "kubernetes-role.yaml" in refused.value.do
    assert target.check() == [
        'the token may not touch the Deployment llm in serving: cannot patch resource "deployments" in API group "apps"'
    ]


@pytest.mark.parametrize("verb", ["get", "list"])
def test_a_check_finds_every_right_that_is_missing_before_anything_moves(
    api: FakeKubernetesApi, target: KubernetesTarget, verb: str
) -> None:
    assert target.check() == []
    assert api.applied == []  # asked with dryRun, and nothing was changed
    api.forbidden = {verb}
    (problem,) = target.check()
    assert f"cannot {verb} resource" in problem


def test_a_wrong_token_is_said_to_be_wrong_and_does_not_show(server: str) -> None:
    (problem,) = target_at(server, token=SecretStr("planted-token-1234")).check()
    assert "doesn't accept the token" in problem
    assert "planted-token-1234" not in problem


def test_a_field_of_another_manager_is_a_conflict_unless_force_is_set(server: str, api: FakeKubernetesApi) -> None:
    api.owned = {"image"}
    with pytest.raises(TargetError, match=r"another manager owns a field .* \.image"):
        target_at(server, image="llm:{version}").point(pointer(4))
    target_at(server, image="llm:{version}", force=True).point(pointer(4))
    assert target_at(server).points_to() == pointer(4)


def test_a_deployment_that_is_not_there_is_never_created(api: FakeKubernetesApi, target: KubernetesTarget) -> None:
    api.live = None
    with pytest.raises(TargetError, match="there is no Deployment llm in serving"):
        target.point(pointer(4))
    assert api.applied == []


def test_a_container_of_another_name_is_refused_with_the_names_there_are(server: str) -> None:
    (problem,) = target_at(server, container="server").check()
    assert "no container 'server', only ['sidecar', 'vllm']" in problem


def test_a_deployment_of_another_registered_model_is_not_taken_over(target: KubernetesTarget) -> None:
    target.point(pointer(4))
    with pytest.raises(TargetError, match="serves shop, not bank"):
        target.point(pointer(1, "bank"))
    assert target.points_to() == pointer(4)


def test_a_pointer_edited_by_hand_is_named_and_not_guessed(api: FakeKubernetesApi, target: KubernetesTarget) -> None:
    target.point(pointer(4))
    assert api.live is not None
    api.live["spec"]["template"]["metadata"]["annotations"]["nightshift-pointer"] = '{"name": "shop"}'
    with pytest.raises(TargetError, match="the annotation nightshift-pointer of llm holds is no pointer"):
        target.points_to()


def test_nothing_serves_with_no_replicas(api: FakeKubernetesApi, target: KubernetesTarget) -> None:
    assert api.live is not None
    api.live["spec"]["replicas"] = 0
    assert target.check() == ["the Deployment llm has 0 replicas: scale it up"]
    with pytest.raises(TargetError, match="0 replicas"):
        target.point(pointer(4))


def test_the_token_is_never_sent_over_plain_http_to_another_machine() -> None:
    with pytest.raises(TargetError, match=r"the token would be sent to api\.cluster over plain http"):
        target_at("http://api.cluster").points_to()


def test_outside_a_cluster_the_missing_account_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "ACCOUNT", tmp_path)
    with pytest.raises(TargetError, match="has no token, and this machine is no pod") as refused:
        target_at("http://127.0.0.1:1", token=None).points_to()
    assert "set token and ca on the block" in refused.value.do


def test_inside_a_cluster_the_accounts_token_is_read_each_time(
    server: str, api: FakeKubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "ACCOUNT", tmp_path)
    (tmp_path / "token").write_text(TOKEN + "\n")
    target = target_at(server, token=None)
    assert target.points_to() is None
    api.token = "renewed"
    (tmp_path / "token").write_text("renewed\n")
    assert target.points_to() is None


def test_the_api_server_is_believed_by_its_own_ca_only(api: FakeKubernetesApi, tmp_path: Path) -> None:
    pem, ca = certificate(tmp_path)
    (tmp_path / "another").mkdir()
    _, another = certificate(tmp_path / "another")
    with http_server(api, pem) as url:
        assert target_at(url, ca=ca).check() == []
        (problem,) = target_at(url, ca=another).check()
        assert "CERTIFICATE_VERIFY_FAILED" in problem
    (problem,) = target_at(url, ca="no PEM").check()
    assert "isn't PEM" in problem


def test_an_api_server_that_is_away_is_named_without_its_path() -> None:
    (problem,) = target_at("http://127.0.0.1:1").check()
    assert problem.startswith("http://127.0.0.1:1 doesn't answer: ConnectError")


# --- manifests ---


@pytest.mark.parametrize("cluster", ["v1.34.1", "v1.37.0-gke.100", "v1.99.0", "1.26", "", "garbled"])
def test_the_applied_deployment_is_valid_by_the_strict_schema_of_the_cluster(cluster: str) -> None:
    changed = merged(deployment(), apply_patch(NAMES, pointer(4), "llm:{version}"), "vllm")
    assert invalid(changed, cluster) == []


def test_a_misspelled_field_is_found_and_its_value_is_not_shown() -> None:
    broken = merged(deployment(), apply_patch(NAMES, pointer(4), None), "vllm")
    container = broken["spec"]["template"]["spec"]["containers"][1]
    container["evn"] = [{"name": "PASSWORD", "value": "planted-secret"}]
    (problem,) = invalid(broken)
    assert "'evn' was unexpected" in problem
    assert "spec.template.spec.containers.1" in problem
    del container["evn"]
    container["env"][0]["value"] = ["planted-secret"]
    (problem,) = invalid(broken)
    assert "env.0.value" in problem
    assert "planted" not in problem


def test_an_invalid_deployment_is_refused_before_it_is_sent(api: FakeKubernetesApi, target: KubernetesTarget) -> None:
    assert api.live is not None
    api.live["spec"]["template"]["spec"]["containers"][0]["imagePullPolicies"] = "Always"
    with pytest.raises(TargetError, match="'imagePullPolicies' was unexpected"):
        target.point(pointer(4))
    assert api.applied == []


def test_the_role_is_valid_and_may_look_and_patch_one_deployment_only() -> None:
    text = (ROOT / "infra" / "targets" / "kubernetes-role.yaml").read_text()
    assert text.count("NAMESPACE") > 3
    manifests = resources_from_file(str(ROOT / "infra" / "targets" / "kubernetes-role.yaml"))
    assert [one["kind"] for one in manifests] == ["ServiceAccount", "Role", "RoleBinding"]
    assert [problem for one in manifests for problem in invalid(one)] == []
    rules = [(tuple(one["resources"]), tuple(one["verbs"]), one.get("resourceNames")) for one in manifests[1]["rules"]]
    assert rules == [(("deployments",), ("get", "patch"), ["DEPLOYMENT"]), (("pods",), ("list",), None)]


# --- the rollout's states, pure ---


def live(**status: Any) -> dict[str, Any]:
    found = deployment()
    found["metadata"]["generation"] = 4
    found["status"] = {"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2} | status
    return found


@pytest.mark.parametrize(
    ("status", "waits_for"),
    [
        ({}, None),
        ({"observedGeneration": 3}, "the controller to see the change"),
        ({"updatedReplicas": 1}, "new pods: 1 of 2 there"),
        ({"replicas": 3}, "1 old pods to end"),
        ({"availableReplicas": 1}, "new pods to be ready: 1 of 2"),
    ],
)
def test_a_rollout_is_done_when_all_pods_are_new_seen_and_ready(status: dict[str, int], waits_for: str | None) -> None:
    found = rollout(live(**status), [], pointer(4))
    assert (found.waits_for, found.problem) == (waits_for, None)


def test_the_status_of_the_version_before_is_not_taken_for_this_ones() -> None:
    failed = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    assert rollout(live(observedGeneration=3, conditions=failed), [], pointer(4)).problem is None
    assert rollout(live(conditions=failed), [], pointer(4)).problem is not None


def test_quota_that_forbids_pods_is_a_problem() -> None:
    denied = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]
    assert "exceeded quota" in str(rollout(live(conditions=denied), [], pointer(4)).problem)


def test_a_pod_that_is_still_starting_is_not_stuck() -> None:
    pod = {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]},
    }
    assert why_stuck(pod) is None
    assert why_stuck({"metadata": {"name": "p"}}) is None
