"""How long a locked store is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.errors import UsageError
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.lock_timeout import LOCK_TIMEOUT_VARIABLE, lock_timeout_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 30.0), ("", 30.0), (" ", 30.0), ("0", 0.0), ("1", 1.0), (" 2.5 ", 2.5), ("86400", 86400.0)],
)
def test_seconds(text: str | None, seconds: float) -> None:
    assert lock_timeout_seconds({} if text is None else {LOCK_TIMEOUT_VARIABLE: text}) == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "1e3", "inf", "nan", "30s", "86401", "9" * 400, "٣", "1_0", "0x1", "."])
def test_what_is_no_number_of_seconds(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no number of seconds to wait for a locked store"):
        lock_timeout_seconds({LOCK_TIMEOUT_VARIABLE: text})
    monkeypatch.setenv(LOCK_TIMEOUT_VARIABLE, text)
    with pytest.raises(UsageError, match=LOCK_TIMEOUT_VARIABLE):
        connect(StoreLocation(tmp_path / "store"), create=True)
    assert not (tmp_path / "store").exists()
