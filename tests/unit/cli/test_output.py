"""How durations, times, numbers and tables look."""

from __future__ import annotations

import pytest

from penstock.cli import output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0.0s"), (4.23, "4.2s"), (59.94, "59.9s"), (59.97, "1m 00s"), (65, "1m 05s"),
     (3599.6, "1h 00m"), (7380, "2h 03m"), (86400 * 3 + 4 * 3600, "3d 04h"), (-1, "0.0s")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [(0, "0s ago"), (59, "59s ago"), (60, "1m ago"), (3600, "1h ago"), (86400 * 2, "2d ago"), (86400 * 29, "29d ago")],
)
def test_relative_times(age: float, text: str) -> None:
    assert output.ago(1_800_000_000 - age, now=1_800_000_000) == text


def test_old_and_future_times_are_dates() -> None:
    assert output.ago(1_700_000_000, now=1_800_000_000).startswith("2023-11-1")
    assert output.ago(1_800_000_060, now=1_800_000_000) == "2027-01-15T08:01:00.000Z"
    assert output.exact(1_800_000_000.1239) == "2027-01-15T08:00:00.123Z"
    assert output.exact(None) is None


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [(None, False, "-"), (5000.0, False, "5,000"), (0.93456, False, "0.9346"), (0.00012345, False, "1.234e-04"),
     (0.0, True, "0"), (0.01, True, "+0.0100"), (-0.5, True, "-0.5000"), (float("inf"), False, "inf")],
)  # fmt: skip
def test_numbers(value: float | None, signed: bool, text: str) -> None:
    assert output.number(value, signed) == text


def test_a_table_is_aligned_and_keeps_to_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["NAME", "COUNT", "NOTE"], [["a", "1", "x"], ["longer", "1000", "two\nlines"]], right=["COUNT"])
    assert capsys.readouterr().out.splitlines() == [
        "NAME    COUNT  NOTE",
        "a           1  x",
        "longer   1000  two lines",
    ]


def test_facts_that_are_not_known_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_facts([("run", "r1"), ("error", None), ("state", "failed")])
    assert capsys.readouterr().out.splitlines() == ["run    r1", "state  failed"]
