"""Deployments on the Prefect server: what may be started there, with which form, and when by itself."""

import importlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic.fields import FieldInfo

from infra.approver import ApproverLogin
from infra.errors import ServerError
from infra.notify import BLOCKS as NOTIFIERS
from infra.pools import POOLS
from infra.pools.base import Pool
from infra.pools.deployed import ensure_deployed
from infra.pools.remote import RemotePool
from infra.servers import SERVICE_POOL, WORK_POOL
from infra.service_worker import TYPE, ServiceWorker
from infra.settings import ROOT, Settings, prefect_api_url
from infra.targets import TARGETS


class Deployed(NamedTuple):
    """One row of ``DEPLOYMENTS``. ``entrypoint`` is module:flow, never a file: see DESIGN §3."""

    entrypoint: str
    name: str
    parameters: Mapping[str, Any] = MappingProxyType({})
    cron: str | None = None
    one_at_a_time: bool = False
    pool: str = WORK_POOL


DEPLOYMENTS = (
    Deployed("flows.nightly:nightly", "nightly", {"recipe": "recipes/demo.toml"}, "0 2 * * *", one_at_a_time=True),
    Deployed("flows.promotion:approve", "approve", pool=SERVICE_POOL),
    Deployed("flows.promotion:reject", "reject", pool=SERVICE_POOL),
    Deployed("flows.promotion:promote", "promote", pool=SERVICE_POOL),
    Deployed("flows.promotion:rollback", "rollback", pool=SERVICE_POOL),
    Deployed("flows.rejudge:rejudge", "rejudge", one_at_a_time=True),
    Deployed("flows.promotion:reanchor", "reanchor", pool=SERVICE_POOL),
    Deployed("flows.promotion:rotate", "rotate"),
    Deployed("flows.audit:audit", "audit", {"name": "all"}, "17 * * * *", one_at_a_time=True),
    Deployed("flows.clean:clean", "clean", {}, "29 5 * * 1", one_at_a_time=True),
    Deployed("flows.audit:drill", "drill", {"name": "demo"}, "43 3 * * 0", one_at_a_time=True),
)
# what the promotion service runs in its own process
SERVED = tuple(row for row in DEPLOYMENTS if row.pool == SERVICE_POOL)


def deploy(
    settings: Settings,
    rows: tuple[Deployed, ...] = DEPLOYMENTS,
    *,
    timezone: str | None = None,
    code: Path = ROOT,
) -> list[str]:
    """Create or update the work pool, the pools' blocks and the deployments. Safe to repeat.

    What a person may have changed in the UI of an existing deployment is kept: its schedules, its default parameters,
    whether it is paused. The rest follows the code.

    Args:
        timezone: of new schedules, e.g. ``Europe/Berlin``; default: this machine's. Given, it replaces the schedules.
        code: the checkout in which the flow runs work, and from which they import.

    Returns:
        Full names, e.g. ``nightly/nightly``, in the order of ``rows``.
    """
    zone = known_zone(timezone) if timezone else None
    with temporary_settings({PREFECT_API_URL: _api(settings)}):
        _ensure_work_pools()
        _ensure_blocks()
        names = [_apply(row, zone, code) for row in rows]
        if PROMOTE in names:
            ensure_automation()
        return names


# --- pure: from a row to what Prefect is told ---


def known_zone(name: str) -> str:
    """The timezone's name.

    Raises:
        ServerError: there is no such zone.
    """
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ServerError(f"there is no timezone {name!r}", do="give an IANA name such as Europe/Berlin") from None


def zone_of(localtime: Path) -> str:
    """The zone that /etc/localtime links to, else UTC."""
    name = str(localtime.resolve()).partition("zoneinfo/")[2]
    return name or "UTC"


def schedules_for(row: Deployed, before: DeploymentResponse | None, zone: str | None) -> list[DeploymentScheduleCreate]:
    """New schedules for a new deployment or a given zone; else those it has, active or not."""
    if before is not None and zone is None:
        return [
            DeploymentScheduleCreate(
                schedule=kept.schedule, active=kept.active, parameters=kept.parameters, slug=kept.slug
            )
            for kept in before.schedules
        ]
    if row.cron is None:
        return []
    cron = CronSchedule(cron=row.cron, timezone=zone or zone_of(Path("/etc/localtime")))
    return [DeploymentScheduleCreate(schedule=cron, active=True)]


def parameters_for(row: Deployed, before: DeploymentResponse | None, known: set[str]) -> dict[str, Any]:
    """The row's parameters under those a person set before, less those the flow has no more."""
    kept = before.parameters if before is not None else {}
    return {name: value for name, value in {**row.parameters, **kept}.items() if name in known}


def described_schema(flow: Flow[..., Any]) -> dict[str, Any]:
    """The flow's parameter schema, which becomes the form in the UI.

    Prefect writes only the docstring's descriptions into it and drops those of ``Annotated[..., Field(...)]``; and it
    lets parameters pass that the flow doesn't have, such as a misspelled one.
    """
    schema = {**flow.parameters.model_dump(exclude_unset=True), "additionalProperties": False}
    for name, hint in get_type_hints(flow.fn, include_extras=True).items():
        marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        text = next((mark.description for mark in marks if isinstance(mark, FieldInfo) and mark.description), None)
        if text is not None and name in schema["properties"]:
            schema["properties"][name]["description"] = text
    return schema


def job_variables(code: Path) -> dict[str, Any]:
    """Where a flow run's process works. The rest of its environment is the worker's."""
    return {"working_dir": str(code), "env": {"PYTHONPATH": str(code)}}


# --- thin: ask Prefect ---


def _api(settings: Settings) -> str:
    url = prefect_api_url(settings)
    if url is None:
        raise ServerError("deployments live on a Prefect server, and none runs", do="start one: `nightshift up`")
    return url


def _ensure_work_pools() -> None:
    pools = (
        WorkPoolCreate(name=WORK_POOL, type="process", description="Flow runs of Nightshift on this machine"),
        WorkPoolCreate(
            name=SERVICE_POOL,
            type=TYPE,
            description="Promotion and rollback, in the promotion service of `nightshift up`",
            base_job_template=ServiceWorker.get_default_base_job_template(),
        ),
    )
    with get_client(sync_client=True) as client:
        for pool in pools:
            try:
                client.read_work_pool(pool.name)
            except ObjectNotFound:
                client.create_work_pool(pool)


PROMOTE, AUTOMATION = "promote/promote", "nightshift: promote what was approved"
APPROVED = "nightshift.version.approved"


def ensure_automation() -> None:
    """An event about an approved version runs ``promote``. A person may have paused it: that stays."""
    with get_client(sync_client=True) as client:
        wanted = automation(client.read_deployment_by_name(PROMOTE).id)
        found = client.read_automations_by_name(AUTOMATION)
        for extra in found[1:]:
            client.delete_automation(extra.id)
        if found:
            client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))
        else:
            client.create_automation(wanted)


def automation(promote: UUID) -> AutomationCore:
    """From the event to a run of this deployment."""

    def of_event(field: str) -> dict[str, Any]:
        template = {"__prefect_kind": "jinja", "template": "{{ event.payload." + field + " | tojson }}"}
        return {"__prefect_kind": "json", "value": template}

    return AutomationCore(
        name=AUTOMATION,
        description="Versions that an approver approved become champion, after their evidence is checked again.",
        trigger=EventTrigger(
            expect={APPROVED},
            match=ResourceSpecification({"prefect.resource.id": "nightshift.version.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=promote,
                parameters={"name": of_event("name"), "version": of_event("version")},
                job_variables=None,
            )
        ],
    )


def _ensure_blocks() -> None:
    ApproverLogin.register_type_and_schema()
    for target in TARGETS:  # their forms only: what there is to deploy to, a person says
        target.register_type_and_schema()
    for notifier in NOTIFIERS:
        notifier.register_type_and_schema()
    for name, pool in POOLS.items():
        pool.register_type_and_schema()
        if issubclass(pool, RemotePool):  # what a site has, a person says: only the saved ones get a work pool
            for block in _saved(pool):
                ensure_deployed(pool.load(block))  # pyright: ignore[reportArgumentType]
            continue
        try:
            pool.load(name)
        except ValueError:  # Prefect's answer to a block that was never saved
            pool().save(name)


def _saved(pool: type[Pool]) -> list[str]:
    """Names of the pool's saved blocks."""
    with get_client(sync_client=True) as client:
        found = client.read_block_documents_by_type(pool.get_block_type_slug())
    return sorted(block.name for block in found if block.name)


def _apply(row: Deployed, zone: str | None, code: Path) -> str:
    flow = load(row.entrypoint)
    full = f"{flow.name}/{row.name}"
    before = _read(full)
    schema = described_schema(flow)
    with get_client(sync_client=True) as client:
        client.create_deployment(  # creates or updates
            flow_id=client.create_flow(flow),
            name=row.name,
            description=flow.description,
            entrypoint=entrypoint_of(row),
            parameters=parameters_for(row, before, set(schema["properties"])),
            parameter_openapi_schema=schema,
            enforce_parameter_schema=True,
            schedules=schedules_for(row, before, zone),
            concurrency_limit=1 if row.one_at_a_time else None,
            concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
            work_pool_name=row.pool,
            job_variables=job_variables(code) if row.pool == WORK_POOL else {},
        )
    return full


def entrypoint_of(row: Deployed) -> str:
    # Prefect takes a colon for a file, and copies the folder
    return row.entrypoint.replace(":", ".")


def load(entrypoint: str) -> Flow[..., Any]:
    module, _, name = entrypoint.partition(":")
    return getattr(importlib.import_module(module), name)


def _read(full: str) -> DeploymentResponse | None:
    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(full)
        except ObjectNotFound:
            return None
