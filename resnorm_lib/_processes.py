"""A command in a process, which ends with all that it has started."""

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

__all__ = ["finished"]


def finished(command: Sequence[str], seconds: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; what it has started ends with it where its time is over.

    ``options`` are those of :class:`subprocess.Popen`.

    Raises
    ------
    subprocess.TimeoutExpired
        If it is stopped.
    """
    with subprocess.Popen(command, start_new_session=True, text=True, **options) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:  # a reader's Ctrl+C, too: the session of its own does not hear it
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
