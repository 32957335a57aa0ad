"""Which spans of its data a scheduled pipeline could run for."""

from __future__ import annotations

from penstock import spec
from penstock.errors import UsageError
from penstock.metadata.schedules import Schedule
from penstock.spec import span_files
from penstock.spec import spans as declared_spans


def present(schedule: Schedule) -> set[int]:
    """Returns the spans that each ExampleGen of the pipeline finds files of now, in all its splits.

    Raises:
        DeclarationError: the declaration is wrong.
        UsageError: no ExampleGen of it takes its data by spans, or the data are not on this machine.
    """
    declaration = spec.load(schedule.source, parameters=schedule.parameters, environment=schedule.environment)
    found: list[set[int]] = []
    for node in declaration.nodes.values():
        for pattern in declared_spans.patterns(node):
            folder = str(node.arguments.get("input_base"))
            if "://" in folder:
                raise UsageError(f"{folder}: new spans are looked for in folders of this machine only.")
            found.append(span_files.present(folder, pattern))
    if not found:
        raise UsageError(
            f"{schedule.source}: no ExampleGen takes its data by spans. Give it a pattern with {{SPAN}}, or {{YYYY}}, "
            "{MM} and {DD}, in input_config, as in 'span-{SPAN}/*'."
        )
    return set.intersection(*found)
