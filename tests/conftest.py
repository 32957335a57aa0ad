"""What every test shares."""

from __future__ import annotations

import os

# A store the user has chosen is not for tests to write to, nor are its runs theirs to read.
os.environ.pop("PENSTOCK_STORE", None)
