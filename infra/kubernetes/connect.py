"""A client of a cluster: by a saved ``kubernetes-cluster-config`` block, else as this pod, else as kubectl would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration
from prefect_kubernetes.credentials import KubernetesClusterConfig

from infra.errors import PoolError


@asynccontextmanager
async def client_of(block: str | None) -> AsyncIterator[ApiClient]:
    """
    Args:
        block: its name; None: this pod's service account, or this machine's kubeconfig.

    Raises:
        PoolError: there is neither.
    """
    configuration = Configuration()
    try:
        if block is not None:
            saved = await KubernetesClusterConfig.aload(block)
            await config.load_kube_config_from_dict(
                config_dict=saved.config, context=saved.context_name, client_configuration=configuration
            )
        else:
            await _own(configuration)
    except (config.ConfigException, ValueError) as error:
        raise PoolError(
            f"no way to the cluster's API is known ({error})",
            do="save a kubernetes-cluster-config block and name it as `cluster` in the pool's block",
        ) from None
    async with ApiClient(configuration=configuration) as client:
        yield client


async def _own(configuration: Configuration) -> None:
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
