"""Puts what workers tell of artifacts into the store, and keeps it until it is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.engine.prepared import Artifacts
from penstock.metadata import recording
from penstock.metadata.database import Database
from penstock.metadata.runs import find_summary
from penstock.summaries import detail

_FILE = "summaries.json"


class Summaries:
    """The summaries of one run's artifacts."""

    def __init__(self, database: Database):
        self._database = database

    def store(self, outputs: Artifacts, summaries: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Stores summaries of published outputs, and returns the facts that a run shows of them."""
        facts: dict[str, Any] = {}
        for name, artifacts in outputs.items():
            for artifact, summary in zip(artifacts, summaries.get(name, ()), strict=False):
                if summary is not None:
                    kind, view = summary
                    recording.put_summary(self._database, artifact.id, kind, view)
                    facts.update(detail.facts(name, kind, view))
        return facts

    def known_facts(self, outputs: Artifacts) -> dict[str, Any]:
        """Returns the facts that a run shows of outputs which were stored before."""
        facts: dict[str, Any] = {}
        for name, artifacts in outputs.items():
            for artifact in artifacts:
                summary = find_summary(self._database, artifact.id)
                if summary is not None:
                    facts.update(detail.facts(name, summary.kind, summary.content))
        return facts

    def keep(self, log: Path, summaries: Mapping[str, Any]) -> None:
        """Saves summaries until their artifacts have ids: a run cut short between publication and record finds them."""
        file = log.with_name(_FILE)
        partial = file.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(summaries))
            partial.replace(file)
        except OSError:
            # Only a run cut short would miss it; a full disk must not cost the node its result.
            partial.unlink(missing_ok=True)

    def kept(self, logs: Iterable[Path]) -> Mapping[str, Any]:
        """Returns what was saved beside the first of these logs of attempts that has something."""
        for log in logs:
            path = log.with_name(_FILE)
            if path.is_file():
                found: dict[str, Any] = json.loads(path.read_text())
                return found
        return {}
