"""Where the larger data sets lie on this machine, if anywhere: RESNORM_DATA, or a folder beside the project."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def use(monkeypatch, name):
    """Point RESNORM_DATA to the folder that holds the file and return its path, or skip the test."""
    folder = Path(os.environ.get("RESNORM_DATA") or BESIDE)
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not on this machine: set RESNORM_DATA to the folder that holds it")
    monkeypatch.setenv("RESNORM_DATA", str(folder))
    return folder / name
