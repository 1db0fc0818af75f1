"""What nothing needs any more goes, every week: checkpoints, snapshots, nights (docs/design/retention.md)."""

from typing import Annotated, Any

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed
from pydantic import Field

from infra.errors import NightLocked
from tasks.retention import clean_home, in_words

DryRun = Annotated[bool, Field(description="Say what would go, and remove nothing.")]


@flow(name="clean", description=__doc__)
def clean(dry_run: DryRun = False) -> dict[str, Any] | State[Any]:
    """Clean HOME once; while a night runs, the next week does."""
    try:
        done = clean_home(dry_run=dry_run)
    except NightLocked as error:
        return Completed(name="Skipped", message=error.what)
    said = in_words(done)
    create_markdown_artifact(f"```\n{said}\n```", key="clean", description=said.splitlines()[0])
    get_run_logger().info(said)
    return done.model_dump()
