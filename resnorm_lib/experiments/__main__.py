"""``python -m resnorm_lib.experiments``: list, describe, run, suite, compare."""

import argparse
import json
import sys
import time
from dataclasses import asdict

from resnorm_lib import runtime

runtime.fix_arithmetic()  # as in the chapters, and as there before torch is imported

from resnorm_lib.data import DataMissing  # noqa: E402
from resnorm_lib.engine import distributed, tables  # noqa: E402
from resnorm_lib.engine.config import parse_duration, parse_settings  # noqa: E402
from resnorm_lib.engine.experiment import TrialError  # noqa: E402
from resnorm_lib.engine.records import SCHEMA, read  # noqa: E402
from resnorm_lib.experiments import EXPERIMENTS, get  # noqa: E402

EACH = 180.0  # seconds for one experiment, where the suite has no budget of its own


def list_all(arguments):
    """Name every experiment and its question."""
    width = max(map(len, EXPERIMENTS))
    for name in EXPERIMENTS:
        print(f"{name:{width}}  {get(name).question}")


def describe(arguments):
    """Say what an experiment asks, which arms it compares, what it measures, and each setting of both presets."""
    experiment = get(arguments.name)
    print(f"{experiment.name}: {experiment.question}\n")
    for preset in experiment.presets:
        print(f"arms ({preset}): {', '.join(experiment.arms(experiment.config(preset)))}")
    print("measured: " + ", ".join(f"{m.label} ({m.unit})" if m.unit else m.label for m in experiment.metrics.values()))
    if experiment.differs:
        print(f"differs from the paper: {experiment.differs}")
    presets = {name: asdict(config) for name, config in experiment.presets.items()}
    rows = [["", *presets]] + [[key, *(str(preset[key]) for preset in presets.values())] for key in presets["cpu"]]
    print("\n" + tables.aligned(rows))


def run_one(arguments):
    """Run one experiment and print its table."""
    experiment = get(arguments.name)
    config = experiment.config(arguments.preset, **parse_settings(arguments.set))
    limit = parse_duration(arguments.budget) if arguments.budget else None
    _run(experiment, config, arguments, limit)


def suite(arguments):
    """Run all experiments, each within its fair part of the time that is left.

    What one does not need, the others get. One that fails does not stop the others.
    """
    end = time.monotonic() + (parse_duration(arguments.budget) if arguments.budget else EACH * len(EXPERIMENTS))
    failed = []
    for done, name in enumerate(EXPERIMENTS):
        part = (end - time.monotonic()) / (len(EXPERIMENTS) - done)
        if part <= 0:
            print(f"{name}: no time left")
            continue
        experiment = get(name)
        try:
            _run(experiment, experiment.config(arguments.preset), arguments, part)
        except (DataMissing, TrialError) as error:
            failed.append(name)
            print(f"{name}: {error}\n")
    if failed:
        sys.exit(f"Not run to the end: {', '.join(failed)}.")


def _run(experiment, config, arguments, limit):
    preset = arguments.preset or runtime.preset()
    run = experiment.run(
        config,
        arguments.seeds,
        preset=preset,
        out=arguments.out,
        resume=arguments.resume,
        limit=limit,
        arms=getattr(arguments, "arms", None),
    )
    if distributed.here().rank == 0:
        print(f"{experiment.name}: {experiment.question}\n{tables.summary(experiment, run)}\n")


def compare(arguments):
    """Print two recorded runs of one experiment side by side."""
    first, second = read(arguments.first), read(arguments.second)
    print(tables.compare(get(first.experiment), first, second))


def schema(arguments):
    """Print the JSON Schema of a record."""
    print(json.dumps(SCHEMA, indent=1))


def parser():
    top = argparse.ArgumentParser(prog="python -m resnorm_lib.experiments", description="The experiments of the book.")
    tasks = top.add_subparsers(required=True, metavar="TASK")
    for name, function in TASKS:
        task = tasks.add_parser(name, help=function.__doc__.splitlines()[0], description=function.__doc__)
        task.set_defaults(function=function)
        if name in ("describe", "run"):
            task.add_argument("name", metavar="NAME")
        if name in ("run", "suite"):
            task.add_argument("--preset", help="cpu or gpu; by default RESNORM_PRESET")
            task.add_argument("--seeds", type=int, default=1, metavar="N", help="trials of each arm")
            task.add_argument("--out", metavar="DIR", help="folder for the records, written after every trial")
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


def main():
    arguments = parser().parse_args()
    try:
        arguments.function(arguments)
    except (ValueError, DataMissing, TrialError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        kept = " What has finished is kept; --resume goes on." if getattr(arguments, "out", None) else ""
        sys.exit(f"\nStopped.{kept}")


if __name__ == "__main__":
    main()
