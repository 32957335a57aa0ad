"""A project whose data comes in spans: `examples` takes one, and each window the latest ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Penstock, Result

BY_SPAN = "span-{SPAN}/*"
NO_WINDOWS: Mapping[str, tuple[str, str]] = {}

_DECLARATION = """\
penstock: 1
name: spans
parameters:
  scale: {{type: int, default: 1}}
nodes:
  examples:
    component: CsvExampleGen
    input_base: data
    input_config: {{splits: [{{name: single, pattern: "{pattern}"}}]}}
    output_config: {{split_config: {{splits: [{{name: all, hash_buckets: 1}}]}}}}
    {range_config}
  one:
    component: parts:spans
    examples: ${{nodes.examples.examples}}
    scale: ${{parameters.scale}}
"""
_WINDOW = """\
  window_{name}:
    component: Resolver
    strategy_class: {strategy}
    config: {config}
    examples: {{type: Examples, producer_component_id: examples, output_key: examples}}
    after: [examples]
  several_{name}:
    component: parts:spans
    examples: ${{nodes.window_{name}.examples}}
"""
_PARTS = '''\
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples


@component
def spans(examples: InputArtifact[list[Examples]], scale: Parameter[int] = 1) -> OutputDict(spans=str):
    """The spans of examples, with versions where they have some."""
    names = []
    for each in examples:
        version = each.get_int_custom_property("version")
        names.append(f"{each.get_int_custom_property('span')}" + (f"v{version}" if version else ""))
    return {"spans": " ".join(names)}
'''


@dataclass(frozen=True)
class SpanProject:
    """The project's folder and the command to run it with."""

    folder: Path
    penstock: Penstock

    @property
    def store(self) -> Path:
        """The folder of its store."""
        return self.folder / "store"

    def declare(
        self, pattern: str, range_config: str = "", windows: Mapping[str, tuple[str, str]] = NO_WINDOWS
    ) -> None:
        """Writes pipeline.yaml; for each of `windows`, strategy and its config by name, there is a `several_NAME`."""
        text = _DECLARATION.format(pattern=pattern, range_config=range_config and f"range_config: {range_config}")
        for name, (strategy, config) in windows.items():
            text += _WINDOW.format(name=name, strategy=strategy, config=config)
        (self.folder / "pipeline.yaml").write_text(text)

    def data(self, name: str, rows: str = "1,2\n3,4\n") -> Path:
        """Writes the data of a folder under `data`."""
        file = self.folder / "data" / name / "rows.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"x,y\n{rows}")
        return file

    def run(self, *options: str) -> Result:
        """Runs the pipeline to its end."""
        return self.penstock("run", self.folder, "--store", self.store, *options)

    def backfill(self, *options: str) -> Result:
        """Runs the pipeline for several spans."""
        return self.penstock("backfill", self.folder, "--store", self.store, *options)

    def read(self, *arguments: str) -> Any:
        """What a reading command prints with `--json`."""
        done = self.penstock(*arguments, "--json", "--store", self.store)
        assert done.status == 0, done.stderr
        return done.json

    def states(self, run: str = "latest") -> dict[str, str]:
        """The state of each node of a run."""
        return {node["node_id"]: node["state"] for node in self.read("runs", "show", run)["nodes"]}

    def outputs(self, run: str = "latest") -> dict[str, dict[str, Any]]:
        """The artifact that each node put out, from the cache too."""
        return {found["producer"]["node"]: found for found in self.read("artifacts", "list", "--run", run)}

    def spans_of(self, node: str, run: str = "latest") -> str:
        """What `one` or `several_NAME` found in a run."""
        return Path(self.outputs(run)[node]["uri"]).read_text()


def make_project(folder: Path, penstock: Penstock) -> SpanProject:
    """Writes the project's code, without a declaration or data."""
    (folder / "data").mkdir(parents=True)
    (folder / "parts.py").write_text(_PARTS)
    return SpanProject(folder, penstock)
