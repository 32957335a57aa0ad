"""What a person reads when a command meets trouble that nobody foresaw: a line or two, never a traceback.

The traceback goes to a file; with PENSTOCK_TRACEBACK=1 it goes to standard error.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
import traceback

TRACEBACK_VARIABLE = "PENSTOCK_TRACEBACK"

_HINTS = {
    errno.ENOSPC: "Make room on the disk and run again; what was recorded before is kept.",
    errno.EDQUOT: "Your quota on that disk is used up: make room and run again; what was recorded before is kept.",
    errno.EROFS: "It can only be read: choose another place, or mount it for writing.",
    errno.EACCES: "You may not do this there: change the rights, or choose another place.",
    errno.EPERM: "You may not do this there: change the rights, or choose another place.",
    errno.EMFILE: "Raise the limit of open files with `ulimit -n`, or run fewer nodes at a time with --jobs.",
}


def explain(error: Exception) -> str:
    """Returns what to tell a person about an exception that no other message covers."""
    shown = _on_request()
    if isinstance(error, OSError) and error.strerror:
        return shown or _of_system(error)
    if shown:
        return shown
    kind = type(error).__name__
    text = f"{kind}: {error}" if str(error) else kind
    lines = [f"Unexpected error in penstock: {text.splitlines()[0]}"]
    file = _write_traceback()
    if file is not None:
        lines.append(f"  The traceback is in {file}. Please report it with that file.")
    else:
        lines.append(f"  Run it again with {TRACEBACK_VARIABLE}=1 to see the traceback, and please report it.")
    return "\n".join(lines)


def _of_system(error: OSError) -> str:
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
    number = error.errno or 0
    line = f"{place}{error.strerror}."
    if number in _HINTS:
        return f"{line} {_HINTS[number]}"
    return f"{line} Run it again with {TRACEBACK_VARIABLE}=1 to see where that happened."


def _on_request() -> str | None:
    return traceback.format_exc() if os.environ.get(TRACEBACK_VARIABLE) not in (None, "", "0") else None


def _write_traceback() -> str | None:
    try:
        prefix = time.strftime("penstock-traceback-%Y%m%d-%H%M%S-")
        descriptor, file = tempfile.mkstemp(prefix=prefix, suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{' '.join(sys.argv)}\nPython {sys.version}\n\n{traceback.format_exc()}")
    except OSError:
        return None
    return file
