"""Remembered views of pipeline options are those that Beam makes. Beam is loaded in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, pickle
import apache_beam as beam
from apache_beam.options import pipeline_options as po
from penstock.beam import option_views

FLAGS = ["--runner=DirectRunner", "--direct_num_workers=3", "--experiments=one", "--save_main_session"]

def story():
    told = []
    options = po.PipelineOptions(list(FLAGS), job_name="given")
    direct = options.view_as(po.DirectOptions)
    told.append([direct.direct_num_workers, options.view_as(po.GoogleCloudOptions).job_name])
    options.view_as(po.DirectOptions).direct_num_workers = 5
    told.append([direct.direct_num_workers, direct.view_as(po.DirectOptions).direct_num_workers])
    debug = options.view_as(po.DebugOptions)
    debug.add_experiment("two")
    told.append([debug.experiments, direct.view_as(po.DebugOptions).experiments])
    options._flags.append("--direct_running_mode=multi_threading")
    del options._all_options["direct_running_mode"]
    told.append(options.view_as(po.DirectOptions).direct_running_mode)
    other = po.PipelineOptions(["--direct_num_workers=7"])
    told.append(other.view_as(po.DirectOptions).direct_num_workers)
    again = pickle.loads(pickle.dumps(options))
    told.append([again.view_as(po.DirectOptions).direct_num_workers, again.view_as(po.DebugOptions).experiments])
    replaced = po.PipelineOptions(list(FLAGS))
    replaced.view_as(po.DirectOptions)
    replaced._all_options = {"direct_num_workers": 11}
    told.append(replaced.view_as(po.DirectOptions).direct_num_workers)
    told.append(sorted(options.get_all_options(drop_default=True).items(), key=str))
    return told

expected = story()
option_views.remember()
option_views.remember()
made = []
original = option_views._original
option_views._original = lambda options, cls: made.append(cls) or original(options, cls)
found = story()
made.clear()
options = po.PipelineOptions(list(FLAGS))
for _ in range(3):
    options.view_as(po.DirectOptions)
count = made.count(po.DirectOptions)
made.clear()
with beam.Pipeline(options=po.PipelineOptions(["--direct_running_mode=in_memory"])) as pipeline:
    pipeline | beam.Create([1, 2]) | beam.CombineGlobally(sum) | beam.Map(lambda x: print(x))
print(json.dumps([expected, found, count, len(made)]))
"""


def test_they_are_what_beam_makes_and_made_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    total, document = done.stdout.splitlines()
    expected, found, made, in_pipeline = json.loads(document)
    assert int(total) == 3
    assert found == expected
    assert made == 1
    assert in_pipeline < 60
