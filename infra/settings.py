"""Where things are: the only file that reads or writes the environment.

Every setting is an environment variable ``NIGHTSHIFT_<NAME>``; ``docs/settings.md`` lists them and a test compares.
Settings say where things are, never what to train: they are not part of any digest.
"""

import ipaddress
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import BadSetting
from infra.redact import redact

_SAME_PROCESS_SECONDS = 2.0
HEARTBEAT_SECONDS = 30  # of flow runs; the least that Prefect allows

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="NIGHTSHIFT_", frozen=True, extra="ignore")

    home: Path = Field(ROOT / ".nightshift", description="folder of all state: store, nights, databases, servers")
    prefect_api_url: str | None = Field(
        None, description="Prefect API to use; unset: the servers of `nightshift up` if they run, else a temporary one"
    )
    mlflow_tracking_uri: str | None = Field(
        None, description="MLflow server to use; unset: that of `nightshift up` if it runs, else a SQLite file in HOME"
    )
    host: str = Field("127.0.0.1", description="address the servers of `nightshift up` listen on")
    prefect_port: int = Field(4200, ge=1, le=65535, description="port of the Prefect server of `nightshift up`")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="port of the MLflow server of `nightshift up`")
    promoter_port: int = Field(
        4300,
        ge=1,
        le=65535,
        description="port of `nightshift up`'s promotion service, which MLflow's webhooks reach",
    )
    insecure_host: bool = Field(
        False, description="let `nightshift up` listen on other addresses than this machine's own without TLS"
    )
    account: str = Field(
        "trainer", description="account in HOME/guard/credentials.json that a process logs in to MLflow with"
    )
    ledger_export: str | None = Field(
        None, description="folder or `s3://bucket/prefix` that every audit keeps the ledgers' lines in; unset: nowhere"
    )
    reconcile_seconds: float = Field(
        5.0, gt=0, le=3600, description="how often the promotion service looks into the registry by itself"
    )
    slurm_poll_seconds: float = Field(
        5.0, gt=0, le=600, description="how often the Slurm worker asks where its jobs stand, all with one call"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of training and scoring; unset: all cores")
    vllm: Path | None = Field(
        None,
        description="folder that vLLM was installed into by itself (`pip install --target`), where it isn't beside "
        "Nightshift ([how](guides/vllm.md))",
    )
    judge_url: str | None = Field(
        None, description="OpenAI-compatible endpoint of the judge model, e.g. `http://host/v1`; for suites it grades"
    )
    judge_model: str | None = Field(None, description="the judge model's name at that endpoint")
    judge_key: str = Field("", description="the endpoint's API key", repr=False)
    s3_endpoint: str | None = Field(
        None,
        description="S3 server of `s3://` places, e.g. `https://host:8333`; unset: Amazon's. Keys: as boto3 finds them",
    )
    spark_master: str | None = Field(
        None,
        pattern=r"^(local|spark://|yarn|k8s://)",
        description="Spark that the data's set checks and near-duplicates run on, e.g. `local[*]` or "
        "`spark://host:7077`; unset: DuckDB in this process ([when to switch](guides/spark.md))",
    )
    keep_nights_days: int = Field(
        400,
        ge=32,  # a month's budget counts attempts of its nights that are in their folders
        description="how long `nightshift clean` keeps the folder of a night that has ended; its bill stays",
    )
    keep_checkpoints_days: float = Field(
        7.0, ge=1, description="how long a training's checkpoints stay that no night goes on from, and its work folder"
    )
    keep_snapshots_days: int = Field(
        90,
        ge=1,
        description="how long `nightshift clean` keeps what nights read and made and no registered version needs, "
        "and the raw rows behind versions that were decided on and serve no more",
    )
    price_book: Path = Field(ROOT / "infra" / "prices" / "2026-11.toml", description="dated price book (TOML)")

    @field_validator("home", "price_book", "vllm")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().resolve()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redact(value) if isinstance(value, str) else value

    @property
    def up_file(self) -> Path:
        """Written by ``nightshift up`` while its servers run."""
        return self.home / "up.json"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        BadSetting: names the variable and its value.
    """
    try:
        return Settings()  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        first = error.errors()[0]
        field = "_".join(str(part) for part in first["loc"])
        name = f"NIGHTSHIFT_{field.upper()}"
        value = "***" if _is_secret(field) else repr(first["input"])
        raise BadSetting(f"{name}={value}: {first['msg']}", do=f"set {name} to a valid value or unset it") from None


def _is_secret(field: str) -> bool:
    found = Settings.model_fields.get(field)
    return found is not None and not found.repr


def servers_up(settings: Settings) -> dict[str, Any] | None:
    """What ``nightshift up`` wrote about its servers, if the process that wrote it still lives."""
    try:
        state = json.loads(settings.up_file.read_text())
        begun = psutil.Process(state["pid"]).create_time()
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    # after a reboot another process may have the same number
    return state if abs(begun - state["begun"]) < _SAME_PROCESS_SECONDS else None


def up_state(prefect: str, mlflow: str) -> str:
    """What this process, an `up`, writes into ``up_file``."""
    return json.dumps(
        {"pid": os.getpid(), "begun": psutil.Process().create_time(), "prefect": prefect, "mlflow": mlflow}
    )


def tracking_uri(settings: Settings) -> str:
    """MLflow's URI: the setting, else the running server's, else a SQLite file."""
    if settings.mlflow_tracking_uri:
        return settings.mlflow_tracking_uri
    up = servers_up(settings)
    return up["mlflow"] if up else f"sqlite:///{settings.home / 'mlflow.db'}"


def prefect_api_url(settings: Settings) -> str | None:
    if settings.prefect_api_url:
        return settings.prefect_api_url
    up = servers_up(settings)
    return up["prefect"] + "/api" if up else None


def environment(settings: Settings) -> dict[str, str]:
    """The variables that libraries and child processes need: quiet, offline, and in our folder."""
    variables = {
        "NIGHTSHIFT_HOME": str(settings.home),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
        "MLFLOW_TRACKING_URI": tracking_uri(settings),
        # infra.mlflow_requests: the account below, unless MLflow's own variables name a user
        "MLFLOW_TRACKING_AUTH": "nightshift",
        "NIGHTSHIFT_ACCOUNT": settings.account,
        # at the end of a run it prints the URI, with a password that is in it
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # the default (seven retries with back-off) hides a stopped server for two minutes
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # a run that is silent for long is taken for dead (flows/automations.py)
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PYTHONUNBUFFERED": "1",
        # Spark's executors would take the first `python3` of their PATH
        "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable),
    }
    if api := prefect_api_url(settings):
        variables["PREFECT_API_URL"] = api
    if login := prefect_login(settings):
        variables |= {"PREFECT_API_AUTH_STRING": login, "PREFECT_SERVER_API_AUTH_STRING": login}
    return variables


def on_loopback(host: str) -> bool:
    """Whether an address is this machine's own: nobody else reaches what listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def prefect_login(settings: Settings) -> str | None:
    """``user:password`` of the Prefect API of `nightshift up`, where other machines can reach it; it has no users."""
    if on_loopback(settings.host):
        return None
    try:
        return json.loads((settings.home / "guard" / "keys.json").read_text())["prefect"]
    except (FileNotFoundError, KeyError):
        return None


# what a program that a step starts has no use for
_NOT_FOR_PROGRAMS = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "MLFLOW_TRACKING_PASSWORD")


def apply_environment(settings: Settings) -> None:
    """Put ``environment`` into this process, before a library reads it. Called by entry points, never at import."""
    settings.home.mkdir(parents=True, exist_ok=True)
    os.environ.update(environment(settings))


# read when vLLM is imported or started. One process: weights are handed over by reference, and our end is its end.
# Its threads are PyTorch's here, which it is not to bind to cores; and it reports to nobody.
_VLLM = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


def make_room_for_vllm(settings: Settings) -> None:
    """Before vLLM is imported: what it reads, unless somebody has set it, and its own folder, where it has one."""
    for name, value in _VLLM.items():
        os.environ.setdefault(name, value)
    folder = settings.vllm and str(settings.vllm)
    if folder and folder not in sys.path:
        sys.path.append(folder)  # behind ours: what both have is ours
        known = os.environ.get("PYTHONPATH")  # of processes that vLLM starts
        os.environ["PYTHONPATH"] = f"{known}{os.pathsep}{folder}" if known else folder


def given_login() -> tuple[str, str] | None:
    """The user and password that MLflow's own variables name."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return (user, password) if user and password else None


def child_environment(settings: Settings) -> dict[str, str]:
    """The full environment for a child process."""
    return {**os.environ, **environment(settings), "PYTHONPATH": str(ROOT)}


def index_environment(index: str | None) -> dict[str, str]:
    """The environment for uv, which reads no configuration of pip's: the same package index."""
    return {**os.environ, **({"UV_DEFAULT_INDEX": index} if index else {})}


def program_environment(settings: Settings) -> dict[str, str]:
    """That of a training or scoring program: a child's, without what logs in anywhere."""
    return {name: value for name, value in child_environment(settings).items() if name not in _NOT_FOR_PROGRAMS}


# what a job elsewhere needs of ``environment``: its own servers, databases and logins stay here
_FOR_JOBS = ("HF_", "TRANSFORMERS_", "TOKENIZERS_", "TRL_", "DO_NOT_TRACK", "PYTHONUNBUFFERED", "NIGHTSHIFT_HOME")


def program_variables(settings: Settings) -> dict[str, str]:
    """What is set for a program on another machine, all of it fit to be read by anybody."""
    return {name: value for name, value in environment(settings).items() if name.startswith(_FOR_JOBS)}


def job_environment(variables: dict[str, str], root: str, vendor: str | None = None) -> dict[str, str]:
    """That of a program inside a job: what the scheduler set, under what its launch plan says."""
    return one_visibility({**os.environ, **variables, "PYTHONPATH": root}, vendor)


def one_visibility(environment: dict[str, str], vendor: str | None) -> dict[str, str]:
    """With exactly one variable that says which accelerators a program sees.

    Slurm sets several for AMD's. Each renumbers what the one before left, so that two hide devices; and what
    ROCR_VISIBLE_DEVICES hides can't be reached by RCCL from device to device. HIP_VISIBLE_DEVICES alone does neither.
    """
    if vendor != "amd":
        return environment
    kept = {name: value for name, value in environment.items() if name not in _VISIBILITY}
    devices = next((environment[name] for name in _VISIBILITY if environment.get(name)), None)
    return {**kept, "HIP_VISIBLE_DEVICES": devices} if devices else kept


# the first that is set counts
_VISIBILITY = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")


def slurm_environment() -> dict[str, str]:
    """That of Slurm's commands: times in seconds since the epoch, and no option of theirs from somebody's shell."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SBATCH_", "SQUEUE_", "SACCT_"))}
    return {**own, "SLURM_TIME_FORMAT": "%s", "LC_ALL": "C.UTF-8"}


def restarts() -> int:
    """How often the scheduler has started this job before."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


class Meeting(NamedTuple):
    """Where the nodes of a training meet, and which of them this is; of a job of one node, that node."""

    address: str
    port: str | None  # None: torchrun's own rendezvous numbers the nodes
    rank: int


def meeting() -> Meeting:
    """As Kubeflow Trainer says it in each pod, else as Slurm does in each task."""
    if (address := os.environ.get("PET_MASTER_ADDR")) is not None:
        return Meeting(address, os.environ["PET_MASTER_PORT"], int(os.environ["PET_NODE_RANK"]))
    # the node that srun was called on is the first
    address = os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
    return Meeting(address, None, int(os.environ.get("SLURM_NODEID", "0")))


def visibility_variables() -> dict[str, str]:
    """Which variables that hide accelerators are set."""
    names = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    return {name: os.environ[name] for name in names if name in os.environ}


def launched_processes() -> int:
    """How many processes torchrun started this program as; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))
