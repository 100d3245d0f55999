"""What the tests of data share."""

import sys

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, and no torchvision."""
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torchvision", None)
    return tmp_path
