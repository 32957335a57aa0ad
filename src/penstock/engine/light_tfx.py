"""TFX's orchestration library without TensorFlow and Beam.

TFX needs TensorFlow for file access and for annotations of its documentation only where it drives nodes; the heavy
imports come from package `__init__` modules on the way. `load()` puts bare packages in their place, so that the
modules below them can be imported one by one, and lets TFX use plug-ins for local files and for object storage.

A process that called `load()` can drive and publish nodes, and cannot execute them. There is no way back.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types

from penstock.errors import PenstockError

# Packages whose `__init__` loads TensorFlow or Beam, and whose plain submodules do not.
_BARE_PACKAGES = (
    "tensorflow",
    "tensorflow_model_analysis",
    "tfx_bsl",
    "tfx.components",
    "tfx.components.example_gen",
)


def is_loaded() -> bool:
    """Returns whether this process has the light library."""
    return getattr(sys.modules.get("tensorflow"), "__penstock_bare__", False)


def load() -> None:
    """Makes `tfx.orchestration.portable` importable without TensorFlow. Idempotent.

    Raises:
        PenstockError: if TensorFlow is already loaded in this process, or TFX is not installed.
    """
    if is_loaded():
        return
    if "tensorflow" in sys.modules:
        raise PenstockError("this process has TensorFlow loaded; the light TFX library needs a process of its own")
    os.environ.setdefault("TEMPORARILY_DISABLE_PROTOBUF_VERSION_CHECK", "true")
    # `import apache_beam` then raises ModuleNotFoundError, which TFX's operators expect and handle.
    sys.modules["apache_beam"] = None  # type: ignore[assignment]
    sys.modules["tfx.dsl.io.plugins.tensorflow_gfile"] = types.ModuleType("tfx.dsl.io.plugins.tensorflow_gfile")
    # Looked for by tfx/__init__ and missing from this tfx-bsl; a stand-in saves loading tfx_bsl.
    sys.modules["tfx_bsl.arrow.sql_util"] = types.ModuleType("tfx_bsl.arrow.sql_util")
    # TFX labels the requests of Google's old client, which nothing here makes; it brings libraries of cryptography.
    http = types.ModuleType("googleapiclient.http")
    http.HttpRequest = object  # type: ignore[attr-defined]
    sys.modules["googleapiclient"] = types.ModuleType("googleapiclient")
    sys.modules["googleapiclient"].http = http  # type: ignore[attr-defined]
    for name in _BARE_PACKAGES:
        _insert_bare_package(name)
    from absl import logging

    from penstock.engine import local_files, remote_files

    logging.set_verbosity(logging.ERROR)
    local_files.register()
    remote_files.register()


def _insert_bare_package(name: str) -> None:
    parent, _, leaf = name.rpartition(".")
    if parent:
        package = importlib.import_module(parent)
        folders = [os.path.join(folder, leaf) for folder in package.__path__]
    else:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise PenstockError(f"the package {name!r} is not installed; run `penstock doctor`")
        folders = list(spec.submodule_search_locations)
    module = types.ModuleType(name)
    module.__path__ = folders
    module.__penstock_bare__ = True  # type: ignore[attr-defined]
    sys.modules[name] = module
    if parent:
        setattr(sys.modules[parent], leaf, module)
