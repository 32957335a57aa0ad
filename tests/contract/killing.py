"""Runs `penstock` and kills it at the n-th of the places where a run could be cut short.

Such a place lies before and after each write to either database, each change of a node's outputs on disk, and each
message to the workers. Run as `python -m tests.contract.killing N FILE ARGUMENT...`. With N = 0 it goes through and
writes into FILE how many places there were; else FILE gets the name of the place.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Places:
    """Counts the places that are come by, and dies at one of them."""

    def __init__(self, fatal: int, report: Path):
        self.count = 0
        self._fatal = fatal
        self._report = report

    def pass_by(self, name: str) -> None:
        """Says that this place is reached."""
        self.count += 1
        if self.count == self._fatal:
            self._report.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, only: Callable[..., bool] = lambda *_: True) -> None:
        """Makes places of the moments before and after each call of a function, where `only` agrees."""
        function = getattr(owner, name)
        label = f"{getattr(owner, '__name__', owner)}.{name}"

        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if not only(*arguments):
                return function(*arguments, **options)
            detail = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], str) else ""
            self.pass_by(f"before {label} {detail}")
            result = function(*arguments, **options)
            self.pass_by(f"after {label} {detail}")
            return result

        setattr(owner, name, wrapped)


def main() -> None:
    """Takes the places' number, the report and the arguments of `penstock` from the command line."""
    fatal, report, *arguments = sys.argv[1:]
    places = Places(int(fatal), Path(report))
    from penstock.engine import light_tfx

    light_tfx.load()
    from penstock.backends.local import workers
    from penstock.cli.main import cli
    from penstock.engine import publishing, reuse
    from penstock.metadata import mlmd, recording

    for name in ("create_run", "set_run_state", "set_node", "put_cache_decision", "put_summary"):
        places.around(recording, name)
    for name in ("discard_outputs", "publish_success", "publish_failure"):
        places.around(publishing, name)
    places.around(reuse, "settle")
    places.around(workers.Workers, "start")
    places.around(mlmd.GuardedMetadataStore, "_call_method", lambda _, method, *__: method.startswith("Put"))
    try:
        cli(arguments, standalone_mode=True)
    finally:
        if not places.count >= int(fatal) > 0:
            Path(report).write_text(str(places.count))


if __name__ == "__main__":
    main()
