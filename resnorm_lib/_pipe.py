"""A command line whose reader or whose user has seen enough ends without a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

__all__ = ["stop", "until_stopped", "until_the_reader_leaves"]


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


@contextmanager
def until_stopped(kept: str) -> Iterator[None]:
    """End the process as :func:`stop` does when the user presses Ctrl+C."""
    try:
        yield
    except KeyboardInterrupt:
        stop(kept)


def stop(kept: str) -> NoReturn:
    """Say that the user has stopped the process, and what is ``kept``; end it with 130, as shells count Ctrl+C."""
    print(f"\nStopped. {kept}".rstrip(), file=sys.stderr)
    sys.exit(130)
