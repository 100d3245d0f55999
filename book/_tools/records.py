"""Say which recorded runs do not belong to today's code: ``python -m book._tools.records``."""

import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

from book._tools.manifest import ROOT, chapters
from resnorm_lib.engine.fingerprint import of_experiment
from resnorm_lib.engine.records import read
from resnorm_lib.experiments import get

FOLDER = ROOT / "book" / "recorded"
BENCH = {  # records of the benchmark, and the modules that measure them
    "bench.json": "resnorm_lib.bench.ratios",
    "fast_on_a_gpu-cpu.json": "resnorm_lib.bench",
    "fast_on_a_gpu-gpu.json": "resnorm_lib.bench",
    "fast_on_a_gpu-host-cpu.json": "resnorm_lib.bench.host",
    "fast_on_a_gpu-host.json": "resnorm_lib.bench.host",
    "fast_on_a_gpu-launches.json": "resnorm_lib.bench.launches",
}
SEEDS = 3  # that a reader's processor can do, and that show a range
NO_RUNS = {"frameworks.json", "seeds.json"}  # these have tests of their own


def recorded(folder=FOLDER):
    """Return the paths of the runs of all experiments."""
    names = [chapter.name for chapter in chapters() if chapter.experiment]
    paths = [folder / f"{name}-{preset}.json" for name in names for preset in get(name).presets]
    return [path for path in paths if path.exists()]


def faults(path):
    """Return what makes a record one that a reader could not make, as sentences.

    Of a GPU's it is asked that its commit can be checked out, no more: it is made anew when there is a GPU.
    """
    run = read(path)
    experiment, commit = get(run.experiment), run.machine["commit"]
    preset = experiment.presets[run.preset]
    # A setting that is newer than a record was at its default when the record was made.
    usual = {field.name: run.config.get(field.name, field.default) for field in fields(preset)}
    found = []
    if commit is None or commit.endswith("-dirty"):
        found.append(f"comes from the commit {commit}, which no reader can check out")
    if run.machine.get("arithmetic") == "native" and run.preset != "gpu":
        found.append("was made in a machine's own arithmetic, which the chapters do not use")
    if run.preset == "gpu":
        return [f"{path.name} {what}." for what in found]
    if run.preset == "cpu" and len(run.seeds) < SEEDS:
        found.append(f"has {len(run.seeds)} of {SEEDS} seeds")
    if run.config.keys() - usual or json.dumps(usual) != json.dumps(asdict(preset)):
        found.append("was made with other settings than those of its preset")
    if run.code.get("experiment") != current(experiment)["experiment"]:
        found.append("belongs to other code of its experiment")
    seeds = max(SEEDS, len(run.seeds)) if run.preset == "cpu" else len(run.seeds)
    command = f"python -m resnorm_lib.experiments run {path.stem.replace('-', ' --preset ')} --seeds {seeds}"
    return [f"{path.name} {what}. Record it anew: {command} --out book/recorded" for what in found]


def has_aged(run):
    """Return whether the library that an experiment uses has changed since its record."""
    return run.code.get("library") != current(get(run.experiment))["library"]


def is_unsure(run):
    """Return whether a processor's record does not say its arithmetic: before November 2026, the machine's own."""
    return run.preset != "gpu" and "arithmetic" not in run.machine


def strangers(folder=FOLDER):
    """Return the names of the records that belong to no experiment and not to the benchmark."""
    known = {path.name for path in recorded(folder)} | BENCH.keys() | NO_RUNS
    return sorted({path.name for path in folder.glob("*.json")} - known)


def missing(folder=FOLDER):
    """Return the names of the records that an experiment must have, and has not."""
    names = [f"{chapter.name}-cpu.json" for chapter in chapters() if chapter.experiment]
    return [name for name in names if not (folder / name).exists()]


def benchmarks(folder=FOLDER):
    """Return the paths of the records of the benchmark."""
    return list(filter(Path.exists, map(folder.joinpath, BENCH)))


def old_benchmark(path):
    """Return a sentence for a record of the benchmark that other code made, and whether that is a fault, or None.

    It is none of a GPU's, which is made anew when there is a GPU, nor where only the library has changed.
    """
    record = json.loads(path.read_text())
    then, today = record["code"], of_experiment(BENCH[path.name])
    if then["experiment"] != today["experiment"]:
        command = record["machine"]["command"]
        sentence = f"{path.name} belongs to other code of the benchmark. Record it anew: {command}"
        return sentence, record["machine"]["driver"] is None
    if then["library"] != today["library"]:
        return f"{path.name}: the library has changed since.", False
    return None


def current(experiment):
    """Return the digests of today's code of an experiment."""
    return of_experiment(experiment.trial.__module__)


def main():
    """Print each fault and each record that is older than the library, and exit with 1 if there is a fault."""
    old = [told for told in map(old_benchmark, benchmarks()) if told]
    found = [sentence for path in recorded() for sentence in faults(path)]
    found += [sentence for sentence, is_fault in old if is_fault]
    found += [f"{name} is missing." for name in missing()] + [f"{name} belongs to nothing." for name in strangers()]
    runs = {path.name: read(path) for path in recorded()}
    aged = [f"{name}: the library has changed since." for name, run in runs.items() if has_aged(run)]
    aged += [f"{name}: made in the machine's own arithmetic." for name, run in runs.items() if is_unsure(run)]
    aged += [sentence for sentence, is_fault in old if not is_fault]
    print("\n".join([*found, *aged]) or "All records belong to today's code.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
