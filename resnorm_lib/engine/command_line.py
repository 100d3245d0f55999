"""The command line of a package of experiments: list, describe, run, suite, compare."""

import argparse
import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from resnorm_lib import runtime
from resnorm_lib._arguments import choice
from resnorm_lib._pipe import stop, until_the_reader_leaves
from resnorm_lib.data import DataMissing
from resnorm_lib.engine import distributed, tables
from resnorm_lib.engine.config import parse_duration, parse_settings
from resnorm_lib.engine.experiment import Experiment, TrialError
from resnorm_lib.engine.records import SCHEMA, read

__all__ = ["main", "parser"]

EACH = 180.0  # seconds for one experiment, where the suite has no budget of its own


def list_all(package: ModuleType, arguments: Namespace) -> None:
    """Name every experiment and its question."""
    width = max(map(len, package.EXPERIMENTS))
    for name in package.EXPERIMENTS:
        print(f"{name:{width}}  {package.get(name).question}")


def describe(package: ModuleType, arguments: Namespace) -> None:
    """Say what an experiment asks, which arms it compares, what it measures, and each setting of both presets."""
    experiment = package.get(arguments.name)
    print(f"{experiment.name}: {experiment.question}\n")
    for preset in experiment.presets:
        print(f"arms ({preset}): {', '.join(experiment.arms(experiment.config(preset)))}")
    print("measured: " + ", ".join(f"{m.label} ({m.unit})" if m.unit else m.label for m in experiment.metrics.values()))
    if experiment.differs:
        print(f"differs from the paper: {experiment.differs}")
    presets = {name: asdict(config) for name, config in experiment.presets.items()}
    rows = [["", *presets]] + [[key, *(str(preset[key]) for preset in presets.values())] for key in presets["cpu"]]
    print("\n" + tables.aligned(rows))


def run_one(package: ModuleType, arguments: Namespace) -> None:
    """Run one experiment and print its table."""
    experiment = package.get(arguments.name)
    config = experiment.config(arguments.preset, **parse_settings(arguments.set))
    limit = parse_duration(arguments.budget) if arguments.budget else None
    _run(experiment, config, arguments, limit)


def suite(package: ModuleType, arguments: Namespace) -> None:
    """Run all experiments that have the preset, each within its fair part of the time that is left.

    What one does not need, the others get. One that fails does not stop the others.
    """
    preset = arguments.preset or runtime.preset()
    experiments = [one for one in map(package.get, package.EXPERIMENTS) if preset in one.presets]
    experiments.sort(key=lambda experiment: experiment.order)
    end = time.monotonic() + (parse_duration(arguments.budget) if arguments.budget else EACH * len(experiments))
    failed = []
    for done, experiment in enumerate(experiments):
        part = (end - time.monotonic()) / (len(experiments) - done)
        if part <= 0:
            print(f"{experiment.name}: no time left")
            continue
        try:
            _run(experiment, experiment.config(arguments.preset), arguments, part)
        except (DataMissing, TrialError) as error:
            failed.append(experiment.name)
            print(f"{experiment.name}: {error}\n")
    if failed:
        sys.exit(f"Not run to the end: {', '.join(failed)}.")


def _run(experiment: Experiment, config: Any, arguments: Namespace, limit: float | None) -> None:
    preset = arguments.preset or runtime.preset()
    run = experiment.run(
        config,
        arguments.seeds,
        preset=preset,
        out=arguments.out,
        resume=arguments.resume,
        limit=limit,
        arms=getattr(arguments, "arms", None),
        device=runtime.device("gpu" if preset == "gpu" else None),
    )
    if distributed.here().rank == 0:
        print(f"{experiment.name}: {experiment.question}\n{tables.summary(experiment, run)}\n{tables.phases(run)}\n")


def compare(package: ModuleType, arguments: Namespace) -> None:
    """Print two recorded runs of one experiment side by side."""
    first, second = read(arguments.first), read(arguments.second)
    print(tables.compare(package.get(first.experiment), first, second))


def schema(package: ModuleType, arguments: Namespace) -> None:
    """Print the JSON Schema of a record."""
    print(json.dumps(SCHEMA, indent=1))


def try_folder(folder: Path) -> None:
    """Raise ``ValueError`` if records cannot be written: now, and not when the first trial has taken its minutes."""
    tried = folder / ".tried"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tried.write_text("a record is longer than this\n" * 1000, encoding="utf-8")
        tried.unlink(missing_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise ValueError(f"--out is {str(folder)!r}, but it must be a folder that can be written: {why}.") from error


def parser() -> ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m resnorm_lib.experiments", description="The experiments of the book.")
    tasks = top.add_subparsers(required=True, metavar="TASK")
    for name, function in TASKS:
        task = tasks.add_parser(name, help=function.__doc__.splitlines()[0], description=function.__doc__)
        task.set_defaults(function=function)
        if name in ("describe", "run"):
            task.add_argument("name", metavar="NAME")
        if name in ("run", "suite"):
            task.add_argument("--preset", help="cpu, gpu or rates; by default RESNORM_PRESET")
            task.add_argument("--seeds", type=int, default=1, metavar="N", help="trials of each arm")
            task.add_argument(
                "--out",
                metavar="DIR",
                help="folder for the records, written after every trial; without it nothing is kept",
            )
            task.add_argument("--resume", action="store_true", help="keep the trials that the record in DIR has")
            task.add_argument("--budget", metavar="TIME", help="90s, 9m, 1h: no trial begins that would end later")
        if name == "run":
            task.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
            task.add_argument("--arms", nargs="+", metavar="ARM", help="only these")
    task = tasks.add_parser("compare", help=compare.__doc__, description=compare.__doc__)
    task.set_defaults(function=compare)
    task.add_argument("first", metavar="A.json")
    task.add_argument("second", metavar="B.json")
    return top


TASKS = (("list", list_all), ("describe", describe), ("run", run_one), ("suite", suite), ("schema", schema))


def main(package: ModuleType, words: Sequence[str] | None = None) -> None:
    """Do what the command line says, or ``words``, with the experiments of a package: its ``EXPERIMENTS`` and ``get``.

    Without a word it lists the experiments.

    Raises
    ------
    SystemExit
        With one sentence, if the command is wrong, a trial fails or the user stops it.
    """
    words = sys.argv[1:] if words is None else words
    arguments = Namespace()
    try:
        if words and not words[0].startswith("-"):
            choice("TASK", words[0], [*(name for name, _ in TASKS), "compare"])
        with until_the_reader_leaves():
            arguments = parser().parse_args(words or ["list"])
            if getattr(arguments, "out", None):
                try_folder(Path(arguments.out))
            arguments.function(package, arguments)
    except (ValueError, DataMissing, TrialError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        stop("What has finished is kept; --resume goes on." if getattr(arguments, "out", None) else "")
