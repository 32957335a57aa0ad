"""A stand-in for `tfx_bsl.arrow.sql_util`, which TFDV 1.16 imports and tfx-bsl 1.21 no longer has.

Also usable as a Beam plug-in (`--beam_plugin=penstock.engine.tfdv_shim`), since Beam's worker processes start fresh.
"""

from __future__ import annotations

import importlib.util
import sys
import types

_NAME = "tfx_bsl.arrow.sql_util"


class RecordBatchSQLSliceQuery:
    """Raises on use: slicing statistics by SQL needs the module that this one stands in for."""

    def __init__(self, *args: object, **kwargs: object):
        raise NotImplementedError(
            "slicing statistics by SQL is not available with this tfx-bsl; slice by features instead"
        )


def install() -> None:
    """Puts the stand-in in place if the real module is missing."""
    if _NAME in sys.modules or importlib.util.find_spec(_NAME) is not None:
        return
    module = types.ModuleType(_NAME)
    module.RecordBatchSQLSliceQuery = RecordBatchSQLSliceQuery  # type: ignore[attr-defined]
    sys.modules[_NAME] = module


install()
