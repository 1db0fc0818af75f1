"""The promotion service: one process of `nightshift up` that carries out what approvers decide.

A webhook (or the clock) makes it look into the registry; what it finds approved becomes a Prefect event, an automation
answers that with a run of ``promote``, and the worker in this same process runs it. Every hop may be lost or doubled:
the next look asks again, and a promotion that was made changes nothing when it is made once more.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable

from prefect.events import emit_event

from flows.automations import APPROVED
from flows.deployments import SERVED, entrypoint_of, load
from flows.observed import Looks, pages
from infra.errors import NightshiftError
from infra.registry_guard.bootstrap import keys_path
from infra.registry_guard.roles import read_private
from infra.servers import SERVICE_POOL
from infra.service_worker import ServiceWorker
from infra.settings import Settings, apply_environment, load_settings
from infra.webhooks import Deliveries, receiver, serve
from tasks.registry import steps as registry
from tasks.registry.waiting import Due

_ASK_AGAIN_SECONDS, _LONGEST_SECONDS = 30.0, 3600.0
log = logging.getLogger("nightshift.promoter")


class Asked:
    """Which promotions were asked for, and when: one decision is one event, until it was in vain for a while.

    What fails again and again (an object store that is down) is asked for ever more seldom.
    """

    def __init__(self, emit: Callable[[str, Due], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._emit, self._clock = emit, clock
        self._asked: dict[tuple[str, Due], tuple[float, float]] = {}  # when it may be asked again, and the wait after

    def __call__(self, name: str, one: Due) -> None:
        due, wait = self._asked.get((name, one), (0.0, _ASK_AGAIN_SECONDS))
        if self._clock() >= due:
            self._asked[name, one] = (self._clock() + wait, min(2 * wait, _LONGEST_SECONDS))
            self._emit(name, one)


def emit_approved(name: str, one: Due) -> None:
    """Tell Prefect that a version is approved; the automation of ``flows.deployments`` runs ``promote`` then."""
    emit_event(
        event=APPROVED,
        resource={
            "prefect.resource.id": f"nightshift.version.{name}.{one.version}",
            "prefect.resource.name": f"{name} version {one.version}",
        },
        payload={"name": name, "version": one.version, "decided_at": one.decided_at},
        id=uuid.uuid4(),
    )
    log.info("version %d of %s is approved: asked for its promotion", one.version, name)


def seldom(
    say: Callable[[str], None], clock: Callable[[], float] = time.monotonic, seconds: float = 600.0
) -> Callable[[str], None]:
    """Say the same sentence again after a while only: what is wrong stays wrong for many looks."""
    said: dict[str, float] = {}

    def told(text: str) -> None:
        now = clock()
        if now - said.get(text, -seconds) >= seconds:
            if len(said) > 1000:
                said.clear()
            said[text] = now
            say(text)

    return told


def look_for_ever(settings: Settings, woken: threading.Event, looks: Looks) -> None:
    """Look, sleep until a webhook or the clock says so, look again. An error ends one look, never the service."""
    ask, say = Asked(emit_approved), seldom(log.info)
    while True:
        woken.clear()
        try:
            registry.look_at_all(ask, say)
            looks.done()
        except NightshiftError as error:
            log.error("%s", error)
        except Exception:  # whatever a library below raises: a server that restarts answers again later
            log.exception("looking into the registry failed; it is tried again")
        woken.wait(settings.reconcile_seconds)


def main() -> None:
    settings = load_settings()
    apply_environment(settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    secret = read_private(keys_path(settings.home))["receiver"]
    woken, looks = threading.Event(), Looks()
    deliveries = Deliveries(settings.home / "guard" / "deliveries.json")
    serve(
        receiver(secret, deliveries, time.time, woken.set, pages(settings, looks)), "127.0.0.1", settings.promoter_port
    )
    registry.keep_webhook(settings.promoter_port, secret)
    threading.Thread(target=look_for_ever, args=(settings, woken, looks), name="registry", daemon=True).start()
    flows = {entrypoint_of(row): load(row.entrypoint) for row in SERVED}
    worker = ServiceWorker(
        flows, work_pool_name=SERVICE_POOL, name="nightshift-service", create_pool_if_not_found=False
    )
    asyncio.run(worker.start())


if __name__ == "__main__":
    main()
