"""Deployments on the Prefect server: what may be started there, with which form, and when by itself."""

import importlib
from collections.abc import Mapping
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
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic.fields import FieldInfo

from flows import automations
from flows.automations import PROMOTE
from infra.approver import ApproverLogin
from infra.digest import digest_of, short
from infra.errors import ServerError
from infra.notify import BLOCKS as NOTIFIERS
from infra.pools import POOLS
from infra.pools.base import Pool
from infra.pools.deployed import ensure_deployed
from infra.pools.remote import RemotePool
from infra.servers import SERVICE_POOL, WORK_POOL
from infra.service_worker import TYPE, ServiceWorker
from infra.settings import HEARTBEAT_SECONDS, ROOT, Settings, prefect_api_url
from infra.targets import TARGETS
from tasks.schedule import ScheduleSpec


class Deployed(NamedTuple):
    """One row of ``DEPLOYMENTS``. ``entrypoint`` is module:flow, never a file: see DESIGN §3."""

    entrypoint: str
    name: str
    parameters: Mapping[str, Any] = MappingProxyType({})
    cron: str | None = None
    one_at_a_time: bool = False
    pool: str = WORK_POOL
    schedule: ScheduleSpec | None = None  # a recipe's own, in place of ``cron``
    pinned: frozenset[str] = frozenset()  # parameters that are the row's, whatever somebody set in the UI


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
NIGHTLY = "nightly/nightly"
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
    with temporary_settings({PREFECT_API_URL: api_url(settings)}):
        ensure_work_pools()
        _ensure_blocks()
        ids = dict(apply(row, zone, code) for row in rows)
        _ensure_automations(rows, ids)
        return list(ids)


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
    """New schedules for a new deployment, a given zone or a recipe whose own has changed since; else those it has.

    A new one is paused where those before were.
    """
    spec = row.schedule
    if before is not None and zone is None and (spec is None or before.version == version_of(row)):
        return [
            DeploymentScheduleCreate(
                schedule=kept.schedule, active=kept.active, parameters=kept.parameters, slug=kept.slug
            )
            for kept in before.schedules
        ]
    if spec is not None:
        paused = before is not None and before.schedules != [] and not any(kept.active for kept in before.schedules)
        cron = CronSchedule(cron=spec.cron, timezone=zone or spec.timezone)
        return [DeploymentScheduleCreate(schedule=cron, active=not paused)]
    if row.cron is None:
        return []
    cron = CronSchedule(cron=row.cron, timezone=zone or zone_of(Path("/etc/localtime")))
    return [DeploymentScheduleCreate(schedule=cron, active=True)]


def version_of(row: Deployed) -> str | None:
    """What a deployment remembers a recipe's schedule by: Prefect's free-text ``version``, shown in the UI."""
    return None if row.schedule is None else f"schedule {short(digest_of(row.schedule.starts))}"


def parameters_for(row: Deployed, before: DeploymentResponse | None, known: set[str]) -> dict[str, Any]:
    """The row's parameters under those a person set before, less those the flow has no more."""
    kept = before.parameters if before is not None else {}
    pinned = {name: row.parameters[name] for name in row.pinned}
    return {name: value for name, value in {**row.parameters, **kept, **pinned}.items() if name in known}


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
    """Where a flow run's process works. The rest of its environment is the worker's.

    Heartbeats are what we say also where somebody else started the worker: slower ones would be taken for death.
    """
    env = {"PYTHONPATH": str(code), "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
    return {"working_dir": str(code), "env": env}


# --- thin: ask Prefect ---


def api_url(settings: Settings) -> str:
    url = prefect_api_url(settings)
    if url is None:
        raise ServerError("deployments live on a Prefect server, and none runs", do="start one: `nightshift up`")
    return url


def ensure_work_pools() -> None:
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


def ensure_watches(rows: tuple[Deployed, ...] = ()) -> None:
    """Those over the runs of all our flows, and of the rows'."""
    for wanted in automations.watches({load(row.entrypoint).name for row in (*DEPLOYMENTS, *rows)}):
        automations.ensure(wanted)


def _ensure_automations(rows: tuple[Deployed, ...], ids: dict[str, UUID]) -> None:
    ensure_watches(rows)
    if PROMOTE in ids:
        automations.ensure(automations.promotion(ids[PROMOTE]))
    if NIGHTLY in ids:
        for wanted in automations.night_watches("nightly", ids[NIGHTLY], automations.stuck_hours(0.0)):
            automations.ensure(wanted)


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


def apply(row: Deployed, zone: str | None, code: Path) -> tuple[str, UUID]:
    """Create or update one deployment; its full name and id."""
    flow = load(row.entrypoint)
    full = f"{flow.name}/{row.name}"
    before = read(full)
    schema = described_schema(flow)
    with get_client(sync_client=True) as client:
        made = client.create_deployment(  # creates or updates
            flow_id=client.create_flow(flow),
            name=row.name,
            version=version_of(row),
            description=flow.description,
            entrypoint=entrypoint_of(row),
            parameters=parameters_for(row, before, set(schema["properties"])),
            parameter_openapi_schema=schema,
            enforce_parameter_schema=True,
            schedules=schedules_for(row, before, zone),
            concurrency_limit=1 if row.one_at_a_time else None,
            concurrency_options=ConcurrencyOptions(collision_strategy=strategy_of(row)),
            work_pool_name=row.pool,
            job_variables=job_variables(code) if row.pool == WORK_POOL else {},
        )
    return full, made


def strategy_of(row: Deployed) -> ConcurrencyLimitStrategy:
    """What becomes of a run that comes while the one before it still goes on."""
    if row.schedule is not None and row.schedule.overlap == "skip":
        return ConcurrencyLimitStrategy.CANCEL_NEW
    return ConcurrencyLimitStrategy.ENQUEUE


def entrypoint_of(row: Deployed) -> str:
    # Prefect takes a colon for a file, and copies the folder
    return row.entrypoint.replace(":", ".")


def load(entrypoint: str) -> Flow[..., Any]:
    module, _, name = entrypoint.partition(":")
    return getattr(importlib.import_module(module), name)


def read(full: str) -> DeploymentResponse | None:
    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(full)
        except ObjectNotFound:
            return None
