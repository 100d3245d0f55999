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
    ruleset = _call(_CREATE, struct.pack("=Q", everything), 8, 0)
    if ruleset < 0:
        return False
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    own = [(folder, everything), ("/dev/null", _READ | _WRITE), ("/dev/urandom", _READ)]
    for path, access in [*own, *_rules()]:
        _allow(ruleset, path, access)
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return _call(_RESTRICT, ruleset, 0) == 0


def _rules() -> Iterator[tuple[str, int]]:
    """Yield the places that Python, torch and this library are read from, and what of each is allowed.

    A rule holds for all that lies below it, and no later one takes anything back. So a folder that holds the checks,
    as an environment in which the library is installed does, gives its other entries and, to be imported from, their
    names.
    """
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    library = Path(__file__).parents[1]
    copies = {library, *(Path(path) / library.name for path in packages)}
    hidden = [(copy / "checks").resolve() for copy in copies if copy.is_dir()]
    for path in (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/sys/devices/system", *packages, library):
        yield from _all_but(hidden, Path(path).resolve())


def _all_but(hidden: list[Path], path: Path) -> Iterator[tuple[str, int]]:
    if path in hidden:
        return
    if not any(path in each.parents for each in hidden):
        yield str(path), _EXECUTE | _READ | _LIST
        return
    yield str(path), _LIST
    for inner in path.iterdir():
        if not inner.is_symlink():  # as an environment's lib64, which leads to lib
            yield from _all_but(hidden, inner)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH)
    except OSError:
        return
    if not os.path.isdir(path):
        access &= ~_LIST
    _call(_ADD, ruleset, 1, struct.pack("=Qi", access, opened), 0)
    os.close(opened)


def _call(number: int, *arguments: int | bytes | None) -> int:
    return ctypes.CDLL(None).syscall(number, *arguments)
