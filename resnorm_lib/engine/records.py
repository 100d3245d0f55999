"""Runs of experiments, to and from JSON: what was measured, and where, when and how.

A run is a JSON object that ``SCHEMA`` describes (JSON Schema 2020-12). A number that is not finite, such as the
loss of a diverged network, is ``null`` in the file and ``None`` here: JSON knows no NaN.
"""

import json
import math
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from resnorm_lib.engine.documents import COUNT, TEXT, RecordError, array, or_null, record, write_document
from resnorm_lib.engine.fingerprint import SCHEMA as CODE
from resnorm_lib.engine.machine import SCHEMA as MACHINE
from resnorm_lib.runtime import find

__all__ = ["SCHEMA", "RecordError", "Run", "Trial", "find", "finite", "read", "recorded", "write"]

VERSION = 1

NUMBER = {"type": ["number", "null"]}
TRIAL = record(
    "one training or one measurement: an arm under one seed",
    {
        "arm": TEXT | {"description": "which condition of the experiment"},
        "seed": COUNT,
        "metrics": {
            "type": "object",
            "additionalProperties": record(
                "one metric: two lists of one length", {"step": array({"type": "integer"}), "value": array(NUMBER)}
            ),
        },
        "summary": {"type": "object", "description": "numbers of the whole trial", "additionalProperties": NUMBER},
        "seconds": {"type": "number", "minimum": 0, "description": "wall time of the trial"},
        "peak_memory": or_null(
            {"type": "integer"},
            description="bytes: on a GPU the most that this trial allocated, on a CPU the process's largest size",
        ),
        "diverged": or_null({"type": "integer"}, description="step at which the loss was no longer finite"),
        "phases": {
            "type": "object",
            "description": "seconds of each phase: build, compile (the first steps, with the capture), train, evaluate",
            "additionalProperties": {"type": "number", "minimum": 0},
        },
    },
    optional=("phases",),
)
SCHEMA = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A run of an experiment"} | record(
    "all trials of an experiment with one config on one machine",
    {
        "version": {"const": VERSION},
        "experiment": TEXT,
        "preset": TEXT | {"description": "the preset that the config started from"},
        "config": {"type": "object", "description": "every setting that all trials share"},
        "machine": MACHINE,
        "code": CODE,
        "trials": array(TRIAL),
    },
    optional=("code",),
)


@dataclass
class Trial:
    """One training or one measurement: an arm of the experiment under one seed."""

    arm: str
    seed: int
    metrics: dict = field(default_factory=dict)  # name -> {"step": [...], "value": [...]}
    summary: dict = field(default_factory=dict)  # name -> number or None
    seconds: float = 0.0
    peak_memory: int | None = None  # bytes
    diverged: int | None = None  # the step
    phases: dict = field(default_factory=dict)  # name -> seconds

    def curve(self, metric: str) -> tuple[list[int], list[float]]:
        """Return steps and values of a metric; a value that was not finite is NaN, so that a plot leaves it out.

        Raises
        ------
        KeyError
            If the trial has no such metric.
        """
        points = self.metrics[metric]
        return points["step"], [math.nan if value is None else value for value in points["value"]]


@dataclass
class Run:
    """All trials of an experiment with one config on one machine."""

    experiment: str
    preset: str
    config: dict
    machine: dict
    trials: list = field(default_factory=list)
    version: int = VERSION
    code: dict = field(default_factory=dict)  # digests; empty in a run that was not written

    @property
    def arms(self) -> list[str]:
        """Return the names of the arms that have a trial, in the order of the first."""
        return list(dict.fromkeys(trial.arm for trial in self.trials))

    @property
    def seeds(self) -> list[int]:
        return sorted({trial.seed for trial in self.trials})

    def of(self, arm: str) -> list[Trial]:
        """Return the trials of an arm, one a seed.

        Raises
        ------
        KeyError
            If there is none.
        """
        found = [trial for trial in self.trials if trial.arm == arm]
        if not found:
            raise KeyError(f"arm is {arm!r}, but this run of {self.experiment} has {', '.join(self.arms) or 'none'}.")
        return found

    def values(self, arm: str, metric: str) -> list[float | None]:
        """Return the metric of the summary for each seed; ``None`` where it was not finite."""
        return [trial.summary.get(metric) for trial in self.of(arm)]

    def mean(self, arm: str, metric: str) -> float:
        """Return the mean over seeds, infinite if it was not finite for one of them."""
        values = self.values(arm, metric)
        return math.inf if None in values else statistics.fmean(values)

    def spread(self, arm: str, metric: str) -> tuple[float, float]:
        """Return smallest and largest value over seeds; infinite where one was not finite."""
        values = [math.inf if value is None else value for value in self.values(arm, metric)]
        return min(values), max(values)


def finite(value: float) -> float | None:
    """Return ``value`` as a float of seven digits, all that float32 has, or ``None`` where it is NaN or infinite."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def write(run: Run, path: str | Path) -> None:
    """Write the run as JSON; a reader never sees half a file.

    Raises
    ------
    RecordError
        If the disk is full or the folder cannot be written.
    """
    write_document(asdict(run), path, separators=(",", ":"))


def read(path: str | Path) -> Run:
    """Read a run.

    Raises
    ------
    RecordError
        If there is no such file, or it holds no run of this version.
    """
    try:
        data = json.loads(Path(path).read_text())
        missing = [key for key in SCHEMA["required"] if key not in data]
        if missing or data["version"] != VERSION:
            raise ValueError(
                f"it lacks {missing[0]!r}" if missing else f"its version is {data['version']}, not {VERSION}"
            )
        return Run(**(data | {"trials": [Trial(**trial) for trial in data["trials"]]}))
    except FileNotFoundError:
        raise RecordError(f"There is no recorded run at {path}.") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RecordError(f"{path} holds no recorded run: {error}.") from error


def recorded(experiment: str, preset: str = "gpu", folder: str | Path | None = None) -> Run | None:
    """Return the run of an experiment that comes with the book, or ``None`` where there is none yet.

    Parameters
    ----------
    experiment, preset : str
    folder : path, optional
        As for :func:`find`.

    Raises
    ------
    RecordError
        If the file is there and holds no run.
    """
    path = find(f"{experiment}-{preset}.json", folder)
    return None if path is None else read(path)
