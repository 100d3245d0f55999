"""Finding and reading files in the folder that RESNORM_DATA names, with one sentence for what can go wrong."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnorm_lib import runtime

__all__ = ["DataDamaged", "DataMissing", "find", "read_arrays"]


class DataMissing(FileNotFoundError):
    """Data, or the package that brings it, is not on this machine; the message says what to get, and where."""


class DataDamaged(ValueError):
    """A data file is there, but does not hold what it must; the message says what is wrong."""


def find(name: str) -> Path | None:
    """Return the path of a file in the data folder, or ``None`` where there is no such folder or file.

    Raises
    ------
    SettingError
        If RESNORM_DATA names no folder.
    """
    folder = runtime.data_folder()
    path = folder and folder / name
    return path if path and path.is_file() else None


def read_arrays(path: Path, *spellings: Sequence[str]) -> list[np.ndarray]:
    """Return the arrays of an ``.npz`` file that are named in the first spelling that the file has.

    Parameters
    ----------
    path : pathlib.Path
    *spellings : tuple of str
        Names of the same arrays, in the same order.

    Raises
    ------
    DataDamaged
        If the file is no ``.npz`` archive, is cut short, or lacks an array. Pickled objects are never unpacked.
    """
    try:
        # opened here, because np.load leaves a file open that turns out to be no archive
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            present = set(archive.files)
            for names in spellings:
                if present.issuperset(names):
                    return [archive[name] for name in names]
    except (OSError, EOFError, ValueError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataDamaged(f"{path} cannot be read as an .npz archive ({error}): copy it again.") from None
    wanted = " or ".join(", ".join(names) for names in spellings)
    raise DataDamaged(f"{path} holds the arrays {', '.join(sorted(present))}, but they must be {wanted}.")
