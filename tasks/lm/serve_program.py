"""Program: ``transformers serve``, ended with the process that started it.

``python -m tasks.lm.serve_program THREADS ARGUMENT…``: the arguments are the server's own. THREADS 0: all cores.
"""

import runpy
import sys

from infra.events import die_with_parent
from tasks.lm.loading import use_threads

MODULE = "transformers.cli.transformers"


def main(threads: str, *arguments: str) -> None:
    die_with_parent()
    use_threads(int(threads) or None)
    sys.argv = [MODULE, "serve", *arguments]
    runpy.run_module(MODULE, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
