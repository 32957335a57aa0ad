"""Lets any of these modules import TensorFlow Data Validation first, see `penstock.engine.tfdv_shim`."""

from __future__ import annotations

from penstock.engine import tfdv_shim

tfdv_shim.install()
