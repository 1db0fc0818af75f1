"""The worker as a process: ``python -m infra.kubernetes.worker_program WORK_POOL``, in the cluster or near it."""

import sys

import anyio


def main(work_pool: str) -> None:
    from infra.kubernetes.worker import NightshiftKubernetesWorker

    async def work() -> None:
        await NightshiftKubernetesWorker(work_pool_name=work_pool, create_pool_if_not_found=False).start()

    anyio.run(work)


if __name__ == "__main__":
    main(*sys.argv[1:])
