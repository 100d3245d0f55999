"""One place where answers run, for all tests of the course: starting it imports torch."""

import sys

import pytest

from resnorm_lib.course.answer import House

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # answers are forked


@pytest.fixture(scope="session")
def house():
    with House() as house:
        yield house
