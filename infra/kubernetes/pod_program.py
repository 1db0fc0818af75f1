"""What every pod of a training of several nodes runs: ``python -m infra.kubernetes.pod_program LAUNCH``.

Kubeflow Trainer starts the nodes, so that no ``srun`` is needed: the first pod runs the whole job program around its
torchrun, the others run torchrun alone. Imports no Prefect.
"""

import sys

from infra import job_program, node_program
from infra.settings import meeting


def main(launch_path: str) -> int:
    place = meeting()
    program = job_program if place is None or place.rank == 0 else node_program
    return program.main(launch_path)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
