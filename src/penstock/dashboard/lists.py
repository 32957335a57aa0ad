"""What the addresses of lists can ask for, and the page of a list that they get: the pages' and the REST API's."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from penstock.dashboard import queries
from penstock.errors import RunNotFoundError
from penstock.metadata import artifacts, executions, notes, runs, tags
from penstock.metadata.artifacts import ArtifactPage
from penstock.metadata.database import Database
from penstock.metadata.executions import ARTIFACT_STATES, EXECUTION_STATES, Execution
from penstock.metadata.notes import Note
from penstock.metadata.runs import Run
from penstock.metadata.states import INTERRUPTED, RUN_STATES

STATES_OF_RUNS = (*RUN_STATES, INTERRUPTED)


@dataclass(frozen=True)
class RunPage:
    """A page of runs, with the number of nodes in each state, notes and tags, and the id that older ones go on from."""

    runs: Sequence[Run]
    counts: Mapping[str, Mapping[str, int]]
    notes: Mapping[str, Note]
    tags: Mapping[str, Sequence[str]]
    next: str | None


@dataclass(frozen=True)
class ExecutionPage:
    """A page of executions, and the id that older ones go on from; None at the end of the list."""

    executions: Sequence[Execution]
    next: int | None


class ListQuery(BaseModel):
    """What each list can be asked for: any text, until a page is read."""

    before: Annotated[str | None, Field(description="The `next` of the page before.")] = None
    limit: Annotated[str | None, Field(description="How many at most, to 200.")] = None

    @property
    def size(self) -> int:
        """How many entries a page has at most. Raises BadQueryError where it asks for none or too many."""
        return queries.whole("limit", self.limit, 1, 200) or queries.PAGE_SIZE

    def shown(self) -> dict[str, Any]:
        """What the page of a list shows of what was asked for."""
        filters = self.model_dump(exclude={"before", "limit"})
        return {
            "filters": filters,
            "is_filtered": any(filters.values()) or self.before is not None,
            "before": self.before,
            "limit": self.size if self.size != queries.PAGE_SIZE else None,
        }


class RunQuery(ListQuery):
    """What the list of runs can be asked for."""

    pipeline: Annotated[str | None, Field(description="Only runs of this pipeline.")] = None
    state: Annotated[str | None, Field(description=f"Only runs in this state: {', '.join(STATES_OF_RUNS)}.")] = None
    tag: Annotated[str | None, Field(description="Only runs with this tag.")] = None
    text: Annotated[str | None, Field(description="Only runs with this in id, pipeline, parameters or error.")] = None
    since: Annotated[str | None, Field(description="Only runs recorded so long ago at most: 30m, 12h, 7d.")] = None
    version: Annotated[str | None, Field(description="Only runs of the version with this digest.")] = None

    def read(self, database: Database, pipelines: Collection[str]) -> RunPage:
        """Reads the page of runs. `pipelines` are those that have run.

        Raises:
            BadQueryError: there cannot be what is asked for.
        """
        seconds = queries.period("since", self.since)
        if self.tag and not tags.is_known(database, self.tag):
            known = ", ".join(tags.known(database, 30)) or "none yet"
            raise queries.BadQueryError(f"tag: no run has the tag {self.tag[: tags.LONGEST_TAG]!r}. Allowed: {known}.")
        try:
            found = runs.find_page(
                database,
                pipeline=queries.choice("pipeline", self.pipeline, pipelines),
                state=queries.choice("state", self.state, STATES_OF_RUNS),
                text=queries.text("text", self.text),
                tags=[self.tag] if self.tag else [],
                version=queries.digest("version", self.version),
                since=None if seconds is None else time.time() - seconds,
                limit=self.size,
                before=queries.run_token("before", self.before),
            )
        except RunNotFoundError as error:
            raise queries.BadQueryError(f"before: there is no run {self.before!r} to go on from.") from error
        ids = [run.run_id for run in found.runs]
        return RunPage(
            found.runs,
            runs.count_nodes(database, ids),
            notes.find(database, ids),
            tags.find(database, ids),
            found.next,
        )


class ArtifactQuery(ListQuery):
    """What the list of artifacts can be asked for."""

    type: Annotated[str | None, Field(description="Only artifacts of this type.")] = None
    pipeline: Annotated[str | None, Field(description="Only what nodes of this pipeline put out.")] = None
    run: Annotated[str | None, Field(description="Only what nodes of this run put out.")] = None
    state: Annotated[str | None, Field(description=f"Only those in this state: {', '.join(ARTIFACT_STATES)}.")] = None

    def read(self, database: Database, types: Collection[str], pipelines: Collection[str]) -> ArtifactPage:
        """Reads the page of artifacts. `types` and `pipelines` are those that there are.

        Raises:
            BadQueryError: there cannot be what is asked for.
        """
        return artifacts.find_page(
            database,
            run=_run_id(database, self.run),
            type=queries.choice("type", self.type, types),
            pipeline=queries.choice("pipeline", self.pipeline, pipelines),
            state=queries.choice("state", self.state, ARTIFACT_STATES),
            limit=self.size,
            before=queries.whole("before", self.before, 1),
        )


class ExecutionQuery(ListQuery):
    """What the list of executions can be asked for."""

    type: Annotated[str | None, Field(description="Only executions of this type.")] = None
    state: Annotated[str | None, Field(description=f"Only those in this state: {', '.join(EXECUTION_STATES)}.")] = None
    run: Annotated[str | None, Field(description="Only executions of this run.")] = None

    def read(self, database: Database, types: Collection[str]) -> ExecutionPage:
        """Reads the page of executions. `types` are those that there are.

        Raises:
            BadQueryError: there cannot be what is asked for.
        """
        size = self.size
        # One more than asked for tells whether there is a next page.
        found = executions.list_executions(
            database,
            run=_run_id(database, self.run),
            type=queries.choice("type", self.type, types),
            state=queries.choice("state", self.state, EXECUTION_STATES),
            limit=size + 1,
            before=queries.whole("before", self.before, 1),
        )
        return ExecutionPage(found[:size], found[size - 1].execution_id if len(found) > size else None)


def _run_id(database: Database, run: str | None) -> str | None:
    """The id of a run that Penstock or ML Metadata knows, or None where none is asked for."""
    run_id = queries.run_token("run", run)
    if (
        run_id is not None
        and not runs.find_run(database, run_id)
        and not executions.executions_of_run(database, run_id)
    ):
        raise queries.BadQueryError(f"run: there is no run {run_id!r}.")
    return run_id
