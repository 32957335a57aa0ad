"""Puts this process's own memory into huge pages, which a fork copies 512 times fewer entries for.

A zygote holds some 400 MB of its own. In pages of 4 KiB, copying and ending a child's page tables takes most of the
time of a job that does nothing. What a child then writes to is still copied 4 KiB at a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

# include/uapi/asm-generic/mman-common.h; Linux has it since 6.1, whatever its setting for huge pages is. Where there
# is no such thing, or no memory for it, the call fails and nothing is worse.
_MADV_COLLAPSE = 25
_HUGE = 2 << 20
# Takes some 50 ms.
_AT_ONCE = 16 * _HUGE


def gather() -> Iterator[None]:
    """Moves what is writable and no file's into huge pages, a piece at a time; what is in them stays."""
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights, _, _, _, *name = line.split(maxsplit=5)
        if rights != "rw-p" or name not in ([], ["[heap]"]):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        start, end = -(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE
        for piece in range(start, end, _AT_ONCE):
            advise(piece, min(_AT_ONCE, end - piece), _MADV_COLLAPSE)
            yield
