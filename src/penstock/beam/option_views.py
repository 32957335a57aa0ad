"""Views of pipeline options, remembered.

Beam asks its options for views hundreds of times while it builds and translates a pipeline, and each time makes a
parser of command lines, fills it with all options, and parses the flags anew. All views of one object share their
values, so that the view of a class that was made before is as good as another one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

_Views = dict[type, tuple[tuple[str, ...], Any]]
_remembered: weakref.WeakKeyDictionary[PipelineOptions, _Views] = weakref.WeakKeyDictionary()
_original: Callable[[PipelineOptions, type], Any] = PipelineOptions.view_as


def view_as(options: PipelineOptions, cls: type) -> Any:
    """Stands in for `PipelineOptions.view_as`, which has the same arguments and result."""
    if options._flags is None:  # then the command line of the process counts
        return _original(options, cls)
    flags = tuple(options._flags)
    views = _remembered.setdefault(options, {})
    remembered = views.get(cls)
    if remembered is not None and remembered[0] == flags and remembered[1]._all_options is options._all_options:
        return remembered[1]
    view = _original(options, cls)
    views[cls] = (flags, view)
    return view


def remember() -> None:
    """Makes Beam use the remembered views. Idempotent."""
    PipelineOptions.view_as = view_as
