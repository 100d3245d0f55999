"""The limits of a child: time, memory, size of files, no network, and nothing of the judge's surroundings."""

import ctypes
import os
import signal
import sys
from typing import NamedTuple

__all__ = ["LIMITS", "Limits", "close_network", "confine"]

_NEW_USER, _NEW_NET, _NEW_PID = 0x10000000, 0x40000000, 0x20000000  # of Linux, sched.h
_DIE_WITH_PARENT = 1  # of Linux, prctl.h


class Limits(NamedTuple):
    """What one answer may use."""

    seconds: float = 10.0  # of the clock, for the cells and again for all calls of a check together
    megabytes: int = 1024  # of memory beyond what Python and torch need themselves
    files: int = 10  # megabytes of a file that it writes; what it prints goes nowhere


LIMITS = Limits()


def close_network() -> bool:
    """Move this process into namespaces without a network and without other processes; say whether that was possible.

    Linux alone has them, and not every machine allows them. The next process that is forked is the first to live there.
    """
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(_NEW_NET | _NEW_PID) == 0:  # root may
        return True
    user, group = os.getuid(), os.getgid()
    if unshare(_NEW_USER | _NEW_NET | _NEW_PID):
        return False
    for name, content in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(content)
    return True


def confine(limits: Limits, folder: str) -> None:
    """Set the limits for this process, for good, and work in a folder from now on."""
    import resource  # which Windows lacks

    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        with open("/proc/self/statm") as sizes:
            used = int(sizes.read().split()[0]) * resource.getpagesize()
        most = used + limits.megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seconds = int(2 * limits.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.files * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.chdir(folder)
