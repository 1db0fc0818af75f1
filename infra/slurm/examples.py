"""Fixed examples: what docs/rendered/ shows. No real site is meant."""

from infra.launch import Launch
from infra.slurm.script import SlurmOptions, batch_script

HOME = "/srv/nightshift"
FOLDER = f"{HOME}/work/align-0123456789abcdef"
IMAGE = "registry.example/nightshift-rocm@sha256:" + "0123456789abcdef" * 4
SITE = SlurmOptions(account="alignment", partition="mi355x", qos="night")


def launch(nodes: int = 1, image: str | None = None) -> Launch:
    """A training on eight accelerators a node."""
    return Launch(
        key=f"ns-0123456789ab-{nodes - 1}",
        name="align support-8b-2026-11-26-0200",
        module="tasks.align.program",
        spec=f"{FOLDER}/spec.json",
        result=f"{FOLDER}/result.json",
        folder=FOLDER,
        checkpoints=f"{HOME}/checkpoints/0123456789abcdef",
        distributed=True,
        nodes=nodes,
        gpu="mi355x",
        gpus_per_node=8,
        cpus_per_node=96,
        memory_bytes=1024 * 2**30,
        seconds=6 * 3600,
        root="/srv/nightshift/checkout",
        python="/srv/nightshift/checkout/.venv/bin/python",
        image=image,
        modules=() if image else ("rocm/7.0",),
        variables={"NIGHTSHIFT_HOME": HOME, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"},
    )


def rendered() -> dict[str, str]:
    """File → content of docs/rendered."""
    return {
        "slurm-one-node.sh": batch_script(launch(), SITE),
        "slurm-two-nodes.sh": batch_script(launch(2), SITE),
        "slurm-container.sh": batch_script(launch(image=IMAGE), SITE),
    }
