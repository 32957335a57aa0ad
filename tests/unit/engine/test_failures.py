"""An exception shortened: the cause, and the user's frames alone."""

from __future__ import annotations

import errno
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from penstock.engine import failures
from penstock.errors import DoNotRetry


def load(path: Path, text: str) -> ModuleType:
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raised(function: object, *arguments: object) -> BaseException:
    with pytest.raises(BaseException) as caught:
        function(*arguments)  # type: ignore[operator]
    return caught.value


def test_shows_the_users_frames_with_their_lines(tmp_path: Path) -> None:
    module = load(tmp_path / "user.py", "def outer(x):\n    return inner(x)\n\ndef inner(x):\n    return 1 / x\n")
    failure = failures.describe(raised(module.outer, 0), [tmp_path])
    assert (failure.kind, failure.message) == ("ZeroDivisionError", "division by zero")
    assert [(frame.line, frame.function, frame.source) for frame in failure.frames] == [
        (2, "outer", "return inner(x)"),
        (5, "inner", "return 1 / x"),
    ]
    assert f"{tmp_path / 'user.py'}:5 in inner" in str(failure)


def test_looks_through_what_a_framework_wrapped_around(tmp_path: Path) -> None:
    module = load(tmp_path / "user.py", "def f():\n    raise KeyError('fare')\n")

    def framework() -> None:
        try:
            module.f()
        except KeyError as error:
            raise RuntimeError("while running 'ParDo(Something)'") from error

    failure = failures.describe(raised(framework), [tmp_path])
    assert (failure.kind, failure.message) == ("KeyError", "'fare'")
    assert [frame.function for frame in failure.frames] == ["f"]


def test_without_user_code_shows_the_outer_error(tmp_path: Path) -> None:
    failure = failures.describe(raised(int, "x"), [tmp_path])
    assert failure.kind == "ValueError"
    assert failure.frames == ()


def test_a_syntax_error_is_shown_at_its_place(tmp_path: Path) -> None:
    failure = failures.describe(raised(load, tmp_path / "user.py", "x = 1\ndef f(:\n    pass\n"), [tmp_path])
    assert failure.kind == "SyntaxError"
    assert (failure.frames[-1].file, failure.frames[-1].line) == (str(tmp_path / "user.py"), 2)
    assert not failure.can_retry


@pytest.mark.parametrize(("error", "can_retry"), [(ValueError("x"), True), (DoNotRetry("x"), False)])
def test_tells_whether_a_retry_could_help(error: Exception, can_retry: bool) -> None:
    assert failures.describe(error, []).can_retry is can_retry


def test_a_full_disk_says_what_to_do() -> None:
    failure = failures.describe(OSError(errno.ENOSPC, "No space left on device"), [])
    assert "free some space and run again" in failure.message


def test_a_long_message_is_cut() -> None:
    failure = failures.describe(ValueError("\n".join(f"line {n}" for n in range(100))), [])
    assert len(failure.message.splitlines()) == 21
    assert "in the log" in failure.message


def test_errors_that_cause_each_other_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert failures.describe(first, []).kind == "ValueError"


def test_survives_json() -> None:
    failure = failures.Failure("KeyError", "'fare'", (failures.Frame("a.py", 3, "f", "x[1]"),), can_retry=False)
    again = failures.Failure.from_json(failure.to_json())
    assert again == failure
