"""An OpenAI-compatible endpoint of one model: transformers' own server, told what our gate assumes."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from infra.endpoint import Address, hold
from infra.settings import Settings


def serve_command(model: str, place: Address, dtype: str, threads: int | None) -> list[str]:
    """The server's command line: this model alone, in the dtype it was judged in, without code of the model's own."""
    # -P: the folder it runs in isn't searched for modules
    program = [sys.executable, "-P", "-m", "tasks.lm.serve_program", str(threads or 0)]
    device = "cpu" if dtype == "float32" else "auto"
    how = ["--device", device, "--dtype", dtype, "--no-trust-remote-code", "--no-enable-cors"]
    return [*program, model, *how, "--host", place.host, "--port", str(place.port)]


def serve_folder(
    folder: Path, name: str, place: Address, dtype: str, settings: Settings, say: Callable[[str], None]
) -> None:
    """Serve the model of a folder under a name until Ctrl-C.

    Raises:
        ServerError: the server doesn't start, or ended by itself.
    """
    work = settings.home / "work"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="serve-") as here:
        # clients must name the model as the server was told to; it takes a path's last @ or : for something else
        (Path(here) / name).symlink_to(folder.resolve())
        hub = Path(here) / "hub"
        hub.mkdir()
        hold(
            serve_command(name, place, dtype, settings.threads),
            place,
            settings,
            folder=Path(here),
            # without this the server lists, and serves, whatever lies in the user's own hub cache
            extra={"HF_HUB_CACHE": str(hub)},
            say=say,
            ready=[f"{name} answers at {place.url}/v1 (model: {name}). Ctrl-C ends it.", "", *_example(name, place)],
        )


def _example(name: str, place: Address) -> list[str]:
    question = '{"role": "user", "content": "Hello"}'
    return [
        f"  curl {place.url}/v1/chat/completions -H 'Content-Type: application/json' \\",
        f'''    -d '{{"model": "{name}", "temperature": 0, "messages": [{question}]}}\'''',
        "",
    ]
