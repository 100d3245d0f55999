"""A command line whose reader has seen enough ends without a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["until_the_reader_leaves"]


@contextmanager
def until_the_reader_leaves() -> Iterator[None]:
    """End the process with status 1 and no word when nobody reads its output any more, as behind ``| head``."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at the exit fails no more
        sys.exit(1)
