"""Transform over a window of spans analyses the new ones alone; the rest it takes from earlier runs."""

from __future__ import annotations

import gzip
import random
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Penstock
from tests.e2e.span_project import BY_SPAN, SpanProject, make_project

ROWS_OF_A_SPAN = 200
DECLARATION = """\
penstock: 1
name: analyses
parameters: {{forget: {{type: bool, default: false}}}}
nodes:
  examples:
    component: CsvExampleGen
    input_base: data
    input_config: {{splits: [{{name: single, pattern: "{pattern}"}}]}}
    output_config:
      split_config: {{splits: [{{name: train, hash_buckets: 3}}, {{name: eval, hash_buckets: 1}}]}}
{transform}"""
TRANSFORM = """\
  latest:
    component: Resolver
    strategy_class: penstock_components.spans:SpanWindowStrategy
    config: {num_spans: 4}
    examples: {type: Examples, producer_component_id: examples, output_key: examples}
    after: [examples]
  schema:
    component: Importer
    source_uri: schema
    artifact_type: Schema
  transform:
    component: Transform
    examples: ${nodes.latest.examples}
    schema: ${nodes.schema.result}
    preprocessing_fn: features.preprocessing_fn
    disable_analyzer_cache: ${parameters.forget}
"""
FEATURES = """\
import tensorflow as tf
import tensorflow_transform as tft


def preprocessing_fn(inputs):
    amount = tf.sqrt(tf.cast(inputs["amount"], tf.float64))
    return {
        "scaled": tf.cast(tft.scale_to_z_score(amount), tf.float32),
        "bucket": tft.bucketize(inputs["amount"], 4),
        "word": tft.compute_and_apply_vocabulary(inputs["word"], vocab_filename="words"),
    }
"""
SCHEMA = """\
feature {{ name: "{name}" type: {type} presence {{ min_fraction: 1 min_count: 1 }} shape {{ dim {{ size: 1 }} }} }}
"""


def examples(records: bytes) -> Iterator[list[bytes]]:
    """Yields the features of each `tf.train.Example` of a TFRecord, sorted: a map is written in any order."""
    while records:
        (size,) = struct.unpack_from("<Q", records)
        record, records = records[12 : 12 + size], records[16 + size :]
        # Messages of less than 128 bytes: a tag, a byte for the length, the content.
        assert record[:2] == bytes([10, size - 2])
        entries, record = [], record[2:]
        while record:
            entries.append(record[2 : 2 + record[1]])
            record = record[2 + record[1] :]
        yield sorted(entries)


class Runs:
    """A project, and what its Transform took and made in a run."""

    def __init__(self, project: SpanProject):
        self.project = project

    def run(self, name: str, *options: str) -> str:
        """Runs it under a name, and returns the state of Transform."""
        done = self.project.run("--run-id", name, *options)
        assert done.status == 0, done.stderr
        return self.project.states(name)["transform"]

    def outputs(self, run: str, name: str) -> list[dict[str, Any]]:
        """The artifacts of an output of Transform in a run."""
        return [
            artifact
            for artifact in self.project.read("artifacts", "list", "--run", run, "--limit", "100")
            if (artifact["producer"] or {}).get("node") == "transform" and artifact["producer"]["key"] == name
        ]

    def cache_id(self, run: str) -> int:
        """The id of the analyzer cache that Transform made in a run."""
        [cache] = self.outputs(run, "updated_analyzer_cache")
        found: int = cache["artifact_id"]
        return found

    def cache_folder(self, run: str) -> Path:
        """Where that lies."""
        [cache] = self.outputs(run, "updated_analyzer_cache")
        return Path(cache["uri"])

    def taken(self, run: str) -> list[int]:
        """The ids of the analyzer caches that Transform took."""
        [graph] = self.outputs(run, "transform_graph")
        lineage = self.project.read("artifacts", "lineage", str(graph["artifact_id"]), "--up", "--depth", "1")
        return [found["artifact_id"] for found in lineage["artifacts"] if found["type"] == "TransformCache"]

    def results(self, run: str) -> dict[str, Any]:
        """What Transform made of the data: the examples of each span, and the vocabulary."""
        [graph] = self.outputs(run, "transform_graph")
        made: dict[str, Any] = {
            path.name: path.read_bytes() for path in Path(graph["uri"], "transform_fn/assets").iterdir()
        }
        for artifact in self.outputs(run, "transformed_examples"):
            folder = Path(artifact["uri"])
            for path in folder.rglob("*.gz"):
                name = f"{artifact['producer']['index']}/{path.relative_to(folder)}"
                made[name] = list(examples(gzip.decompress(path.read_bytes())))
        return made

    def log(self, run: str) -> str:
        """What Transform's log says."""
        return (self.project.store / "runs" / run / "transform/attempt-1/log.txt").read_text()

    def cache(self, run: str) -> dict[str, dict[str, bytes]]:
        """The files of the analyzer cache that a run wrote, by the folder of their span."""
        root = self.cache_folder(run)
        return {folder.name: {file.name: file.read_bytes() for file in folder.iterdir()} for folder in root.iterdir()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, penstock: Penstock) -> Runs:
    """Four spans. Run `three` sees the first three, and `four` all of them."""
    project = make_project(tmp_path_factory.mktemp("analyses"), penstock)
    (project.folder / "features.py").write_text(FEATURES)
    (project.folder / "schema").mkdir()
    schema = SCHEMA.format(name="amount", type="INT") + SCHEMA.format(name="word", type="BYTES")
    (project.folder / "schema/schema.pbtxt").write_text(schema)
    draw = random.Random(1)
    for span in range(1, 5):
        words = ["a", "b", "c", f"only-{span}"]
        rows = [f"{draw.randrange(100 * span)},{draw.choice(words)}" for _ in range(ROWS_OF_A_SPAN)]
        file = project.folder / f"data/span-{span}/rows.csv"
        file.parent.mkdir()
        file.write_text("\n".join(["amount,word", *rows, ""]))
    declaration = project.folder / "pipeline.yaml"
    declaration.write_text(DECLARATION.format(pattern=BY_SPAN, transform=""))
    for span in (1, 2):
        assert project.run("--span", str(span)).status == 0
    declaration.write_text(DECLARATION.format(pattern=BY_SPAN, transform=TRANSFORM))
    made = Runs(project)
    assert made.run("three", "--span", "3") == "succeeded"
    assert made.run("four", "--span", "4") == "succeeded"
    return made


def test_the_analyses_of_the_run_before_are_an_input(runs: Runs) -> None:
    assert runs.taken("three") == []
    earlier = runs.cache_id("three")
    assert runs.taken("four") == [earlier]
    assert f"artifact {earlier} keeps are taken up" in runs.log("four").splitlines()[0]


def test_spans_that_were_seen_are_not_analysed_again(runs: Runs) -> None:
    three, four = runs.cache("three"), runs.cache("four")
    assert len(three) == 3 and len(four) == 4
    # What is analysed again is written beside what was there.
    assert all(four[span] == files for span, files in three.items())
    [new] = four.keys() - three.keys()
    assert four[new].keys() == next(iter(three.values())).keys()


def test_results_are_those_of_an_analysis_of_everything(runs: Runs) -> None:
    assert runs.run("forgetful", "--span", "4", "-p", "forget=true") == "succeeded"
    assert runs.taken("forgetful") == []
    expected, found = runs.results("forgetful"), runs.results("four")
    assert b"only-4" in found["words"] and b"only-1" in found["words"]
    assert len(found) == 1 + 4 * 2
    assert sum(len(rows) for name, rows in found.items() if name != "words") == 4 * ROWS_OF_A_SPAN
    assert found == expected


def test_nothing_changed_is_a_hit_whatever_analyses_there_are(runs: Runs) -> None:
    assert runs.run("again", "--span", "4") == "cached"
    explained = runs.project.penstock("cache", "explain", "four", "transform", "--store", runs.project.store)
    assert explained.status == 0 and "input examples" in explained.stdout
    assert "analyzer_cache" not in explained.stdout


def test_analyses_that_are_lost_are_made_again(runs: Runs) -> None:
    spoilt, lost = (runs.cache_folder(run) for run in ("three", "four"))
    shutil.rmtree(lost)
    for file in spoilt.rglob("*.gz"):
        file.write_bytes(b"spoilt")
    assert runs.run("lost", "--span", "4") == "succeeded"
    assert runs.taken("lost") == []
    said = runs.log("lost")
    assert f"{lost} is gone" in said and f"{spoilt} has" in said and "everything is analysed anew" in said
    assert runs.results("lost") == runs.results("four")


def test_no_cache_takes_no_analyses_either(runs: Runs) -> None:
    assert runs.run("anew", "--span", "4", "--no-cache") == "succeeded"
    assert runs.taken("anew") == []


def test_other_code_takes_no_analyses(runs: Runs) -> None:
    (runs.project.folder / "features.py").write_text(FEATURES.replace("tf.sqrt", "tf.square"))
    assert runs.run("square", "--span", "4") == "succeeded"
    assert runs.taken("square") == []
    assert runs.results("square")["words"] == runs.results("four")["words"]


def test_a_clean_up_removes_analyses_though_a_later_run_took_them(runs: Runs) -> None:
    with (runs.project.folder / "data/span-4/rows.csv").open("a") as stream:
        stream.write("7,new\n")
    assert runs.run("mended", "--span", "4") == "succeeded"
    assert runs.taken("mended") == [runs.cache_id("square")]
    folders = [runs.cache_folder(run) for run in ("square", "mended")]
    removed = runs.project.penstock("gc", "--keep-last", "1", "--store", runs.project.store)
    assert removed.status == 0, removed.stderr
    assert [folder.exists() for folder in folders] == [False, True]
