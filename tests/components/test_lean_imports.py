"""What workers load leaves out what hardly any node uses, and has it when it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, sys
from penstock.engine import lean_imports, tfdv_shim
lean_imports.install()
lean_imports.install()
tfdv_shim.install()
import tensorflow_data_validation, tensorflow_model_analysis as tfma
import tfx.components
heavy = (
    "kubernetes", "docker", "keras_tuner", "nltk.stem", "scipy.stats.distributions", "sklearn.neighbors._base",
    "IPython.core", "ipywidgets", "google.pubsub_v1", "google.cloud.bigquery", "pymongo", "sklearn.base",
    "boto3.session", "apache_beam.io.gcp.gcsio",
)
import inspect, types
for module in list(sys.modules.values()):  # as those do who look through all modules
    if isinstance(module, types.ModuleType):
        vars(module), module.__name__, hasattr(module, "__file__")
import apache_beam as beam
from apache_beam.utils import interactive_utils
found_shell = interactive_utils.is_in_ipython()
with beam.Pipeline(runner="DirectRunner") as pipeline:
    pipeline | beam.Create([1]) | beam.Map(print) | beam.io.WriteToText("/dev/null")
inspect.getmodule(types.FunctionType((lambda: None).__code__.replace(co_filename="nowhere.py"), {}))
found = {"before": [name for name in heavy if name in sys.modules]}
from tfx.components import CsvExampleGen, InfraValidator, Tuner
found["components"] = [each.__name__ for each in (CsvExampleGen, InfraValidator, Tuner, tfx.components.Pusher)]
found["after"] = [name for name in heavy if name in sys.modules]
try:
    tfx.components.Nothing
except AttributeError as error:
    found["missing"] = str(error)
found["config"] = tfma.EvalConfig.__name__
from tensorflow_model_analysis.metrics import bleu
found["bleu"] = round(bleu.sacrebleu.BLEU().corpus_score(["the cat sat down"], [["the cat sat down"]]).score)
from tensorflow_model_analysis.metrics import rouge
found["rouge"] = rouge.rouge_scorer.RougeScorer(["rouge1"]).score("the cat", "the cat")["rouge1"].fmeasure
from tensorflow_model_analysis.utils import math_util
found["stats"] = round(math_util.stats.norm.cdf(0.0), 3)
found["shell"] = found_shell
from google.cloud import pubsub
found["topics"] = pubsub.PublisherClient.topic_path("project", "topic")
found["beam"] = [
    each.__module__ for each in (beam.io.ReadFromBigQuery, beam.io.ReadFromPubSub, beam.io.ReadFromMongoDB)
]
from apache_beam.io.filesystems import FileSystems
found["files"] = [
    type(FileSystems.get_filesystem(path)).__name__ for path in ("/tmp/a", "s3://bucket/a", "gs://bucket/a")
]
try:
    FileSystems.get_filesystem("nothing://a")
except ValueError as error:
    found["no files"] = "nothing://a" in str(error)
import apache_beam.io.textio as textio
found["textio"] = beam.io.textio is textio
import keras._tf_keras.keras, tensorflow_data_validation as tfdv
found["late"] = [
    each.__name__
    for each in (tfdv.visualize_statistics, tfma.view.render_plot, keras.wrappers.SKLearnClassifier,
                 keras._tf_keras.keras.wrappers.SKLearnRegressor)
]
for package in (beam.io, tfdv, keras.wrappers):
    assert not hasattr(package, "Nothing") and not hasattr(package, "__nothing__")
from IPython import get_ipython
from IPython.display import HTML
import IPython
found["html"] = HTML("<b>1</b>").data
found["ipython"] = [get_ipython(), IPython.get_ipython(), IPython.version_info[0] > 0]
IPython.terminal.interactiveshell.TerminalInteractiveShell.instance(history_manager=None)
found["shells"] = [function() is not None for function in (get_ipython, IPython.get_ipython)]
found["finders"] = sum(type(finder).__module__ == lean_imports.__name__ for finder in sys.meta_path)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> Any:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_heavy_is_loaded_before_it_is_used(found: Any) -> None:
    assert found["before"] == []


def test_components_are_there_when_they_are_asked_for(found: Any) -> None:
    assert found["components"] == ["CsvExampleGen", "InfraValidator", "Tuner", "Pusher"]
    assert {"kubernetes", "keras_tuner"} <= set(found["after"])
    assert found["missing"] == "module 'tfx.components' has no attribute 'Nothing'"


def test_what_the_package_does_besides_is_done(found: Any) -> None:
    assert found["config"] == "EvalConfig"


def test_metrics_find_their_libraries(found: Any) -> None:
    assert (found["bleu"], found["rouge"], found["stats"]) == (100, 1.0, 0.5)


def test_what_is_asked_for_late_is_there(found: Any) -> None:
    assert found["topics"] == "projects/project/topics/topic"
    assert found["beam"] == ["apache_beam.io.gcp.bigquery", "apache_beam.io.gcp.pubsub", "apache_beam.io.mongodbio"]
    assert found["textio"]
    assert found["files"] == ["LocalFileSystem", "S3FileSystem", "GCSFileSystem"]
    assert found["no files"]
    assert found["late"] == ["visualize_statistics", "render_plot", "SKLearnClassifier", "SKLearnRegressor"]


def test_whether_there_is_a_shell_is_known_without_its_library(found: Any) -> None:
    assert found["shell"] is False
    assert found["html"] == "<b>1</b>"
    assert found["ipython"] == [None, None, True]
    assert found["shells"] == [True, True]


def test_a_second_time_adds_nothing(found: Any) -> None:
    assert found["finders"] == 1
