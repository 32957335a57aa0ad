"""What Beam pickles and measures at less cost is what it pickles and measures itself."""

from __future__ import annotations

import bz2
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from apache_beam.internal import cloudpickle_pickler
from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.metrics import Metrics
from apache_beam.runners.worker import statecache, statesampler
from apache_beam.testing.util import assert_that, equal_to

from penstock.beam import cached_sizes, pickling, state_sampling
from tests.components.ingestion_helpers import ONE_WORKER

FIND = cloudpickle._find_imported_submodules
SIZE = statecache.get_deep_size


@pytest.fixture(params=[True, False], ids=["in process", "for others"])
def in_process(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Pickling made cheaper, and afterwards as it was."""
    pickling.install(in_process=request.param)
    pickling.install(in_process=request.param)
    yield request.param
    cloudpickle._find_imported_submodules = FIND
    cloudpickle_pickler.bz2 = bz2


def functions() -> list[types.FunctionType]:
    """Functions of many modules, with packages among the variables they use."""
    found = []
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        if name.startswith(
            ("tensorflow_transform.", "tfx.components.", "apache_beam.transforms.", "penstock_components")
        ):
            found += [value for value in vars(module).values() if isinstance(value, types.FunctionType)]
    return found


def test_the_same_submodules_are_found() -> None:
    some = 0
    for function in functions():
        used = cloudpickle._extract_code_globals(function.__code__)
        dependencies = [function.__globals__[name] for name in used if name in function.__globals__]
        expected = FIND(function.__code__, dependencies)
        assert pickling.find_imported_submodules(function.__code__, dependencies) == expected
        some += bool(expected)
    assert some > 10


def test_a_module_loaded_later_is_found() -> None:
    package, module = types.ModuleType("late_package"), types.ModuleType("late_package.part")
    package.__package__ = "late_package"
    code = (lambda: package.part).__code__
    sys.modules["late_package"] = package
    try:
        assert pickling.find_imported_submodules(code, [package]) == []
        sys.modules["late_package.part"] = module
        assert pickling.find_imported_submodules(code, [package]) == [module]
        del sys.modules["late_package.part"]
        assert pickling.find_imported_submodules(code, [package]) == []
    finally:
        for name in ("late_package", "late_package.part"):
            sys.modules.pop(name, None)


def test_what_is_pickled_comes_back(in_process: bool) -> None:
    factor = 3
    pickled = cloudpickle_pickler.dumps(lambda number: tf.constant(number * factor).numpy() + len(np.zeros(2)))
    assert cloudpickle_pickler.loads(pickled)(5) == 17
    by_beam = cloudpickle_pickler.base64.b64encode(bz2.compress(cloudpickle_pickler._dumps([1, "two"]), 9))
    assert cloudpickle_pickler.loads(by_beam) == [1, "two"]
    if not in_process:
        assert bz2.decompress(cloudpickle_pickler.base64.b64decode(pickled))


@pytest.mark.usefixtures("in_process")
def test_a_pipeline_runs_with_it() -> None:
    with beam.Pipeline(options=beam.pipeline.PipelineOptions(list(ONE_WORKER))) as pipeline:
        side = pipeline | "Side" >> beam.Create([100])
        made = pipeline | beam.Create([1, 2]) | beam.Map(lambda one, more: one + more, beam.pvalue.AsSingleton(side))
        assert_that(made, equal_to([101, 102]))


VALUES = [
    b"x" * 100_000,
    ["text", b"bytes", 5, 2.5, None, True] * 30,
    {"nested": [{"deep": ("er", {1, 2, 3})}] * 4, "other": [[]]},
    np.zeros((100, 100)),
    pa.array([["a"], None, ["b", "c"]]),
    (sys, np, len),
    beam.pvalue.AsSingleton,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_the_same_sizes_are_measured(value: Any) -> None:
    assert cached_sizes.get_deep_size(value) == SIZE(value)
    assert cached_sizes.get_deep_size(value, value) == SIZE(value)


TOLD: list[tuple[str, list[str]]] = []


class Tell(beam.DoFn):
    """Counts, and says which step it finds itself to be and who else there is."""

    def process(self, element: int) -> None:
        Metrics.counter("tests", "seen").inc()
        tracker = statesampler.get_current_tracker()
        step = tracker.current_state().name_context.step_name
        TOLD.append((step, [thread.name for thread in threading.enumerate() if "(run)" in thread.name]))


@pytest.mark.parametrize("left_out", [False, True])
def test_the_step_at_work_is_known_without_a_thread_that_looks(left_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("start", "stop"):  # which are put back
        monkeypatch.setattr(statesampler.StateSampler, name, getattr(statesampler.StateSampler, name))
    if left_out:
        state_sampling.leave_out()
        state_sampling.leave_out()
    TOLD.clear()
    pipeline = beam.Pipeline(options=beam.pipeline.PipelineOptions(list(ONE_WORKER)))
    _ = pipeline | beam.Create([1, 2]) | "Tell" >> beam.ParDo(Tell())
    result = pipeline.run()
    result.wait_until_finish()
    assert [counter.committed for counter in result.metrics().query()["counters"]] == [2]
    assert len(TOLD) == 2
    assert all("Tell" in step and bool(threads) != left_out for step, threads in TOLD)
