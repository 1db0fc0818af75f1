"""Program: import a GGUF model into a folder. ``python -m tasks.lm.import_program SPEC RESULT``."""

import json
import sys
from pathlib import Path

from infra.events import die_with_parent
from tasks.lm.loading import import_model


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    import_model(Path(spec["source"]), Path(spec["folder"]))
    Path(result_path).write_text(json.dumps({"folder": spec["folder"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
