"""No files but its own for a child, where the system has Landlock: Linux from 5.13 on, without being root."""

import ctypes
import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["close_files"]

# Of Linux, landlock.h: system calls, and what can be refused.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_FIRST = (1 << 13) - 1  # what the first version knows
_LATER = {2: 1 << 13, 3: 1 << 14}  # to move between folders, to cut a file
_NO_NEW_PRIVILEGES = 38  # of prctl.h


def close_files(folder: str) -> bool:
    """Leave this process a folder to read and write, and Python's own files to read; say whether that was possible.

    The checks, the secret, the answers of a second bank, other hand-ins and all else of the judge's are out of reach.
    """
    version = _call(_CREATE, None, 0, 1) if sys.platform == "linux" else -1
    if version < 1:
        return False
    everything = _FIRST | sum(bit for since, bit in _LATER.items() if version >= since)
    rules = _call(_CREATE, struct.pack("=Q", everything), 8, 0)
    if rules < 0:
        return False
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    allowed = [(folder, everything), ("/dev/null", _READ | _WRITE), ("/dev/urandom", _READ)]
    allowed += [(path, _EXECUTE | _READ | _LIST) for path in _readable()]
    for path, access in allowed:
        _allow(rules, path, access)
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return _call(_RESTRICT, rules, 0) == 0


def _readable() -> Iterator[str]:
    """Yield the places that Python, torch and this library are read from; of the library all but the checks."""
    yield from (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/sys/devices/system")
    yield from (path for path in sys.path if Path(path).name in ("site-packages", "dist-packages"))
    library = Path(__file__).parents[1]
    yield from (str(path) for path in library.iterdir() if path.name != "checks")


def _allow(rules: int, path: str, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH)
    except OSError:
        return
    if not os.path.isdir(path):
        access &= ~_LIST
    _call(_ADD, rules, 1, struct.pack("=Qi", access, opened), 0)
    os.close(opened)


def _call(number: int, *arguments: int | bytes | None) -> int:
    return ctypes.CDLL(None).syscall(number, *arguments)
