"""docs/guides/pools.md: its Python is run, but for what asks a Prefect server."""

import re
from typing import Any

import yaml

from infra.kubernetes.validate import problems
from infra.pools.kubernetes import NvidiaKubernetesPool
from infra.settings import ROOT

GUIDE = (ROOT / "docs" / "guides" / "pools.md").read_text().replace("sha256:…", "sha256:" + "0" * 64)
BLOCK, SETUP = (
    code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "infra.pools.kubernetes" in code
)


def saved() -> NvidiaKubernetesPool:
    """The guide's block, as if it had been saved and loaded."""
    found: dict[str, Any] = {}
    exec(re.sub(r"^NvidiaKubernetesPool\(", "pool = NvidiaKubernetesPool(", BLOCK, flags=re.M).replace(
        ").save(\"nvidia-kubernetes\", overwrite=True)", ")"
    ), found)  # fmt: skip
    return found["pool"]


def test_the_block_of_the_guide_is_one_and_asks_for_what_the_text_says(home: Any) -> None:
    pool = saved()
    place = pool.place()
    assert pool.device().count == 16
    assert (place.pool, place.queue, place.gpu_resource) == ("gpu-nvidia", "nightly", "nvidia.com/gpu")
    assert place.home == str(home)
    assert any(one["key"] == "cloud.example/spot" for one in place.all_tolerations())


def test_the_manifests_of_the_guide_are_valid(capsys: Any, home: Any) -> None:
    code = SETUP.replace('NvidiaKubernetesPool.load("nvidia-kubernetes")', "pool")
    exec(code, {"pool": saved()})
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {"Role", "NetworkPolicy", "Deployment", "TrainingRuntime"} <= {one["kind"] for one in printed}
    assert [problem for one in printed for problem in problems(one)] == []
