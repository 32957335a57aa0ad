"""Remembered signatures are those that Beam finds itself. Beam is loaded in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import functools, json
import apache_beam as beam
from apache_beam.transforms import core, userstate
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.typehints import decorators
from penstock.beam import signatures

class Adding(beam.DoFn):
    def __init__(self, n): self.n = n
    def process(self, element: int, window=beam.DoFn.WindowParam, *rest, flag: bool = True, **more):
        yield element + self.n

class Base:
    @classmethod
    def made(cls, x): ...
    @staticmethod
    def free(x, y=1): ...

class Unhashable:
    __hash__ = None
    def __call__(self, a, b=2): ...

cases = {
    "function": lambda x, y=1: x,
    "method": Adding(1).process,
    "the same method of another object": Adding(2).process,
    "function behind the method": Adding.process,
    "class method": Base.made,
    "static method": Base.free,
    "partial": functools.partial(lambda a, b: a, 1),
    "class": Adding,
    "builtin": len,
    "method descriptor": str.strip,
    "callable that cannot be hashed": Unhashable(),
}
class Stateful(beam.DoFn):
    def process(self, element, count=beam.DoFn.StateParam(userstate.CombiningValueStateSpec("count", sum)),
                later=beam.DoFn.TimerParam(userstate.TimerSpec("later", TimeDomain.WATERMARK))): ...

def specs(dofn): return [sorted(spec.name for spec in kind) for kind in userstate.get_dofn_specs(dofn)]

dofns = [Adding(1), Stateful(), core.CallableWrapperDoFn(len)]
expected_specs = [specs(dofn) for dofn in dofns]
expected = {name: str(decorators.get_signature(case)) for name, case in cases.items()}
signatures.remember()
signatures.remember()
assert core.get_signature is decorators.get_signature is signatures.get_signature
for _ in range(2):
    assert [specs(dofn) for dofn in dofns] == expected_specs
assert expected_specs == [[[], []], [["count"], ["ts-later"]], [[], []]], expected_specs
found = [{name: str(core.get_signature(case)) for name, case in cases.items()} for _ in range(2)]
with beam.Pipeline(options=beam.pipeline.PipelineOptions(["--direct_running_mode=in_memory"])) as pipeline:
    added = pipeline | beam.Create([1, 2]) | beam.ParDo(Adding(1)) | "Again" >> beam.ParDo(Adding(10))
    added | beam.CombineGlobally(sum) | beam.Map(lambda x: print(x))
print(json.dumps([expected, *found]))
"""


def test_they_are_what_beam_finds() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    total, document = done.stdout.splitlines()
    assert int(total) == 2 + 3 + 2 * 10
    expected, first, second = json.loads(document)
    assert first == second == expected
