"""What a local run is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.metadata import runs
from penstock.metadata.location import StoreLocation


@dataclass(frozen=True)
class RunRequest:
    """What to run and how.

    Attributes:
        source: a declaration's path or `FILE.py:CALLABLE`.
        parameters: values of parameters, as text.
        parameter_values: the same with defaults, for the record.
        compile_key: names the compiled pipeline where it can be kept for the next run; None where it cannot.
        environment: the environment's name; None for the default one.
        environment_variables: the environment's own variables for nodes.
        project: the project's root.
        import_roots: folders user code is imported from.
        location: the metadata store.
        run_id: the run's id; None for a new one.
        jobs: how many nodes may run at a time.
        use_cache: whether earlier results may be reused.
        preload: slow packages that the user's code imports, for the zygote to load once for all workers.
        from_nodes: with `to_nodes`, the part to run: what lies downstream of these; all if empty.
        to_nodes: what lies upstream of these; all if empty.
        base_run: the run whose outputs nodes outside that part contribute; None for the latest that succeeded.
        resume: the run to take up again instead of starting a new one.
        span: the span that ExampleGens take; None for what they are declared to take.
    """

    source: str
    project: Path
    import_roots: Sequence[Path]
    location: StoreLocation
    parameters: Mapping[str, str] = field(default_factory=dict)
    parameter_values: Mapping[str, Any] = field(default_factory=dict)
    compile_key: str | None = None
    environment: str | None = None
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    jobs: int | None = None
    use_cache: bool = True
    preload: Sequence[str] = ()
    from_nodes: Sequence[str] = ()
    to_nodes: Sequence[str] = ()
    base_run: str | None = None
    resume: str | None = None
    span: int | None = None

    @property
    def recorded_parameters(self) -> dict[str, Any]:
        """What is recorded of the run's parameters: their values, and the span."""
        span = {} if self.span is None else {runs.SPAN_PARAMETER: self.span}
        return {**self.parameter_values, **span}
