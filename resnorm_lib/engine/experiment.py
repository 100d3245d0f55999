"""Run an experiment: all its arms under all seeds, one after the other or spread over devices, interruptible.

An experiment is a question, a config, a list of arms (the conditions that are compared) and one function that does a
single trial. Everything else (seeds, time limits, records, resuming, several devices) is done here, once for all.
"""

import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from resnorm_lib import runtime
from resnorm_lib._arguments import choice, positive_int
from resnorm_lib.engine import distributed, fingerprint
from resnorm_lib.engine.config import with_settings
from resnorm_lib.engine.machine import machine
from resnorm_lib.engine.rates import conditions
from resnorm_lib.engine.records import RecordError, Run, Trial, read, write
from resnorm_lib.engine.trial_log import TrialLog

__all__ = ["Experiment", "Metric", "Paper", "TrialError"]


class TrialError(RuntimeError):
    """A trial failed; the message says which and why. What had finished before is in the record."""


@dataclass(frozen=True)
class Metric:
    """A number of each trial's summary: how it is named, its unit, how many decimals to print."""

    label: str
    unit: str = ""
    decimals: int = 2

    @property
    def title(self) -> str:
        """The label, with the unit in brackets where there is one."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True)
class Paper:
    """A published number: its value as text, and the key of the paper in ``references.bib``."""

    value: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Experiment:
    """One experiment of the book.

    Parameters
    ----------
    name, question : str
    presets : mapping of str to a frozen dataclass
        ``"cpu"``: seconds, on built-in data. ``"gpu"``: the paper's setting, scaled to minutes on one H100. Others for
        records that a chapter shows: ``"rates"`` has every arm at several learning rates (:mod:`~.rates`).
    arms : callable
        Config to a dictionary: name of the arm, and what the trial needs to know about it.
    trial : callable
        ``trial(config, arm, log)`` does one trial and writes into the :class:`resnorm_lib.engine.trial_log.TrialLog`.
    metrics : mapping of str to Metric
        What the summary of a trial holds, in the order of the table.
    paper : mapping of (arm, metric) to Paper
        Published numbers to compare with.
    differs : str
        Where the setting departs from the paper's.
    order : int
        Place in a suite, the most valuable first: what a short budget leaves out are the last ones.
    """

    name: str
    question: str
    presets: Mapping[str, object]
    arms: Callable[[object], Mapping[str, object]]
    trial: Callable[[object, object, TrialLog], None]
    metrics: Mapping[str, Metric]
    paper: Mapping[tuple[str, str], Paper] = field(default_factory=dict)
    differs: str = ""
    order: int = 0

    def config(self, preset: str | None = None, **settings) -> Any:
        """Return the config of a preset (by default that of RESNORM_PRESET) with some settings changed.

        Raises
        ------
        ValueError
            If there is no such preset or setting, or a value is of the wrong kind.
        """
        preset = runtime.preset() if preset is None else choice("preset", preset, self.presets)
        return with_settings(self.presets[preset], **settings)

    def run(
        self,
        config: Any = None,
        seeds: int = 1,
        *,
        preset: str | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        limit: float | None = None,
        device: torch.device | str | None = None,
        arms: Sequence[str] | None = None,
    ) -> Run:
        """Do all trials and return the :class:`resnorm_lib.engine.records.Run`.

        Under torchrun each process takes every n-th trial, and the first gathers them; the others return theirs.

        Parameters
        ----------
        config : dataclass, optional
            By default that of the preset.
        seeds : int
            Trials of each arm, with seeds 0 to ``seeds - 1`` shifted by RESNORM_SEED.
        preset : str, optional
            Which preset the record names; by default RESNORM_PRESET.
        out : path, optional
            Folder for the record, written anew after each trial as ``NAME-PRESET.json``.
        resume : bool
            Keep the trials that a record in ``out`` has from the same code of the experiment, and do the others.
        limit : number, optional
            Seconds: no trial is begun that would be expected to end later.
        device : torch.device, optional
            By default :func:`resnorm_lib.runtime.device`.
        arms : sequence of str, optional
            Only these.

        Raises
        ------
        ValueError
            If an argument does not fit.
        RecordError
            If the record cannot be read or written, or belongs to another config.
        TrialError
            If a trial fails, for want of memory for instance.
        """
        preset = runtime.preset() if preset is None else preset
        config = self.config(preset) if config is None else config
        chosen = self.arms(config)
        if arms is not None:
            chosen = {choice("arm", arm, chosen): chosen[arm] for arm in arms}
        chosen = conditions(chosen, config)
        here = distributed.here()
        command = self._command(preset, config, seeds, arms)
        code = {} if out is None else fingerprint.of_experiment(self.trial.__module__)  # which takes seconds
        run = Run(self.name, preset, _plain(asdict(config)), machine(command), code=code)
        path = None if out is None else Path(out) / f"{self.name}-{preset}{here.suffix}.json"
        if resume and path is not None:
            run.trials = _finished(run, path, here)
        wanted = [(seed, arm) for seed in range(positive_int("seeds", seeds)) for arm in chosen]
        done = {(trial.seed, trial.arm) for trial in run.trials}
        todo = [(seed, arm) for seed, arm in here.share(wanted) if (runtime.seed(seed), arm) not in done]
        self._do(run, todo, chosen, path, limit, here.device(device))
        return here.gather(run, None if out is None else Path(out) / f"{self.name}-{preset}.json")

    def _command(self, preset: str, config: Any, seeds: int, arms: Sequence[str] | None) -> str:
        """Return the command that makes the same run."""
        words = ["python", "-m", "resnorm_lib.experiments", "run", self.name, "--preset", preset, "--seeds", str(seeds)]
        usual = asdict(self.presets[preset]) if preset in self.presets else {}
        for name, value in _plain(asdict(config)).items():
            words += [] if value == _plain(usual.get(name)) else ["--set", f"{name}={value}"]
        return shlex.join([*words, "--arms", *arms] if arms else words)

    def _try(self, config: Any, arm: Any, log: TrialLog) -> Trial:
        try:
            return log.record(lambda log: self.trial(config, arm, log))
        except (RuntimeError, ArithmeticError) as error:
            what = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
            raise TrialError(f"{self.name}, arm {log.arm}, seed {log.seed}: {what}") from error

    def _do(
        self,
        run: Run,
        todo: list[tuple[int, str]],
        chosen: Mapping[str, tuple[Any, Any]],
        path: Path | None,
        limit: float | None,
        device: torch.device,
    ) -> None:
        start, longest = time.monotonic(), 0.0
        with tqdm(total=len(todo), desc=self.name, leave=False, disable=not runtime.shows_progress()) as bar:
            for seed, arm in todo:
                if limit is not None and time.monotonic() - start + longest > limit:
                    break
                bar.set_postfix_str(f"{arm}, seed {seed}")
                log = TrialLog(arm, seed, device, on_step=_within(bar))
                begun = time.monotonic()
                trial = self._try(*chosen[arm], log)
                longest = max(longest, time.monotonic() - begun)
                run.trials.append(trial)
                if path is not None:
                    write(run, path)


def _within(bar: Any) -> Callable[[int, int], None]:
    """Return a function that moves the bar by parts of a trial, so that the first trial shows its time left."""
    floor = bar.n

    def on_step(step: int, steps: int) -> None:
        new = floor + step / steps
        if new - bar.n >= 0.01 or step == steps:
            bar.update(min(new, math.floor(floor) + 1) - bar.n)

    return on_step


def _plain(value: Any) -> Any:
    """Return the value with lists for tuples, as JSON returns it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _finished(run: Run, path: Path, here: distributed.Worker) -> list[Trial]:
    """Return the trials of this process's record and of the merged one; refuse those of another config.

    Trials of other code of the experiment are left out: the record would say that today's code made them.
    """
    trials: dict[tuple[int, str], Trial] = {}
    for place in {path, path.with_name(path.name.replace(here.suffix, ""))}:
        if not place.exists():
            continue
        old = read(place)
        if old.config != run.config:
            changed = sorted(k for k in run.config if old.config.get(k) != run.config[k])
            raise RecordError(
                f"{place} was run with another {', '.join(changed)}: resume with the same settings, or elsewhere."
            )
        if old.code.get("experiment") == run.code["experiment"]:
            trials |= {(trial.seed, trial.arm): trial for trial in old.trials}
    return list(trials.values())
