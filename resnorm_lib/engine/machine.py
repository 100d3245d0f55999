"""Where a run was made: device, driver, versions, commit, date."""

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

from resnorm_lib import runtime
from resnorm_lib.engine.documents import TEXT, or_null, record

__all__ = ["SCHEMA", "machine"]

SCHEMA = record(
    "where, when and how a record was made",
    {
        "device": TEXT | {"description": "name of the GPU, or of the processor"},
        "driver": or_null(TEXT),
        "torch": TEXT,
        "cuda": or_null(TEXT),
        "python": TEXT,
        "system": TEXT,
        "commit": or_null(TEXT),
        "date": TEXT | {"format": "date-time"},
        "command": TEXT | {"description": "what a reader types to make the record again"},
        "arithmetic": TEXT | {"description": "same, as in the chapters, or native, this machine's own"},
    },
    optional=("arithmetic",),  # records before November 2026 do not say
)


def machine(command: str) -> dict[str, str | None]:
    """Describe this machine and the sources of the library; ``command`` is what a reader types for the same run."""
    on_gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else _processor(),
        "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if on_gpu else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "python": platform.python_version(),
        "system": platform.system(),
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "arithmetic": "same" if runtime.fix_arithmetic() else "native",
    }


def _commit() -> str | None:
    """Return the commit of the sources. Records are what a run writes, so that they do not make the sources dirty."""
    git = ("git", "-C", str(Path(__file__).parent))
    commit = _output(*git, "rev-parse", "--short", "HEAD")
    changes = _output(*git, "status", "--porcelain", "-uno", "--", ":(top)", ":(top,exclude)book/recorded")
    return f"{commit}-dirty" if commit and changes else commit


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    )
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()


def _output(*command: str) -> str | None:
    """Return the first line that a program prints, or None where it is missing, fails, or prints nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout.splitlines() or [None])[0]
