"""What our workers have in common: a flow run does not end because its labels could not be written."""

import logging
from uuid import UUID

import httpx

_log = logging.getLogger(__name__)


class Labelling:
    """Goes before the worker it is mixed into (it is no worker itself: Prefect lists every class of those as one).

    Prefect's own calls a run crashed when its server is too busy to note which worker took it (seen with 200 runs at
    once on SQLite: ``database is locked``, HTTP 503 after all retries). Those labels are for people alone.
    """

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        try:
            await super()._give_worker_labels_to_flow_run(flow_run_id)  # pyright: ignore[reportAttributeAccessIssue]
        except httpx.HTTPError as error:
            _log.warning("the flow run %s has no labels of its worker: %s", flow_run_id, error)
