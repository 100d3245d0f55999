"""Recorded runs as tables: ``{recorded-runs} degradation`` shows every run of an experiment in ``book/recorded``,
``{recorded-kernels}`` the benchmark of the fused operations, and the launches that were tried for them."""

import csv
import json
import re

from docutils import nodes
from docutils.parsers.rst import roles
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from book._tools.records import FOLDER, has_aged
from resnorm_lib.engine import rates, tables
from resnorm_lib.engine.records import read
from resnorm_lib.experiments import get

PRESETS = {"gpu": "On a GPU", "cpu": "On a processor"}


class RecordedRuns(SphinxDirective):
    """The runs of one experiment: machine, date, command, settings, and a table with the paper's numbers.

    Those of other presets than the two that every experiment has are folded.
    """

    required_arguments = 1

    def run(self):
        experiment = get(self.arguments[0])
        parts = [experiment.question]
        for preset in dict.fromkeys([*PRESETS, *experiment.presets]):
            path, where = FOLDER / f"{experiment.name}-{preset}.json", PRESETS.get(preset)
            self.env.note_dependency(str(path))
            if path.exists():
                parts.append(run_text(experiment, read(path), where) if where else folded(experiment, read(path)))
            elif where:
                command = f"python -m resnorm_lib.experiments run {experiment.name} --preset {preset}"
                parts.append(missing(where, f"{command} --out book/recorded"))
        return parsed(self, parts)


def parsed(directive, parts):
    """Return paragraphs of MyST text as nodes."""
    container = nodes.container()
    directive.state.nested_parse(StringList("\n\n".join(parts).splitlines(), directive.name), 0, container)
    return container.children


def missing(where, command):
    return f"**{where}:** not yet recorded. `{command}` records it."


def run_text(experiment, run, where):
    """Return one run as MyST text."""
    machine = run.machine
    versions = [f"torch {machine['torch']}", machine["cuda"] and f"CUDA {machine['cuda']}"]
    versions += [machine["driver"] and f"driver {machine['driver']}", f"Python {machine['python']}"]
    seconds = sum(trial.seconds for trial in run.trials)
    settings = ", ".join(f"`{key}={value}`" for key, value in run.config.items())
    return "\n\n".join([
        f"**{where}:** {machine['device']}, {machine['date'][:10]}; {', '.join(filter(None, versions))}; "
        f"commit {machine['commit']}; {len(run.trials)} trials, {seconds:.0f} s together."
        + " The library has changed since." * has_aged(run),
        f"`{machine['command']}`",
        *partial(experiment, run),
        (by_rate if run.config.get("learning_rates") else table)(experiment, run),
        f":::{{dropdown}} Settings\n{settings}\n:::",
    ])  # fmt: skip


def folded(experiment, run):
    """Return a run of another preset as MyST text that the reader unfolds."""
    text = run_text(experiment, run, f"Preset {run.preset}")
    return f"::::{{dropdown}} Preset *{run.preset}*: {len(run.trials)} trials\n{text}\n::::"


def partial(experiment, run):
    """Return a sentence for a run that was cut short: which arms it lacks."""
    if run.preset not in experiment.presets:
        return []
    config = experiment.config(run.preset)
    lacks = [arm for arm in rates.conditions(experiment.arms(config), config) if arm not in run.arms]
    return [f"Partial: it was cut short before {', '.join(lacks)}."] if lacks else []


def by_rate(experiment, run):
    """Return a table in MyST: a row an arm, a column a learning rate; the first metric that the arm has."""
    chosen = run.config["learning_rates"]
    arms = dict.fromkeys(arm.rpartition(" at ")[0] for arm in run.arms)
    rows = [["arm", "", *(f"{rate:g}" for rate in chosen)]]
    for arm in arms:
        has = run.of(rates.at(arm, chosen[0]))[0].summary
        name, metric = next((name, metric) for name, metric in experiment.metrics.items() if name in has)
        rows.append([arm, metric.title, *(_cell(run, rates.at(arm, rate), name, metric) for rate in chosen)])
    return pipes(rows)


def table(experiment, run):
    """Return a table in MyST: a row an arm; mean and range over the seeds; beside it the paper's numbers, if any."""
    with_paper = {metric for arm, metric in experiment.paper if arm in run.arms}
    columns = []
    for name, metric in experiment.metrics.items():
        columns.append((metric.title, name, False))
        columns += [("paper", name, True)] if name in with_paper else []
    rows = [["arm", *(title for title, _, _ in columns)]]
    rows += [[arm, *(_entry(experiment, run, arm, name, paper) for _, name, paper in columns)] for arm in run.arms]
    return pipes(rows)


def _entry(experiment, run, arm, name, paper):
    if not paper:
        return _cell(run, arm, name, experiment.metrics[name])
    known = experiment.paper.get((arm, name))
    return f"{known.value} {{cite:p}}`{known.source}`" if known else "-"


def _cell(run, arm, name, metric):
    """Return a number in MyST; its range is small and keeps to one line, that a row is low on a phone."""
    return re.sub(r"\(.* to .*\)", r"{range}`\g<0>`", tables.cell(run, arm, name, metric))


class RecordedKernels(SphinxDirective):
    """The benchmark of the fused operations, on a GPU and on a processor: training steps, and each operation."""

    def run(self):
        parts = [
            "What norms cost in a training step of a language model, when they are made in several ways; and how many "
            "bytes a second each operation moves, against the most that the device's memory can."
        ]
        for preset, where in PRESETS.items():
            path = FOLDER / f"fast_on_a_gpu-{preset}.json"
            self.env.note_dependency(str(path))
            device = {"gpu": "", "cpu": " --device cpu"}[preset]
            command = f"python -m resnorm_lib.bench operations{device} --out book/recorded/{path.name}"
            parts.append(
                kernels_text(json.loads(path.read_text()), where) if path.exists() else missing(where, command)
            )
        path = FOLDER / "fast_on_a_gpu-sweep.csv"
        self.env.note_dependency(str(path))
        return parsed(self, [*parts, sweep_text(list(csv.DictReader(path.read_text().splitlines())))])


def kernels_text(record, where):
    """Return a record of the benchmark as MyST text: training steps, then operations in the first dtype recorded."""
    machine = record["machine"]
    threads = f", {machine['threads']} thread{'s' * (machine['threads'] > 1)}" if machine["threads"] else ""
    rows = [row for row in record["rows"] if row["dtype"] == record["rows"][0]["dtype"]]
    steps = []
    if record["steps"]:
        steps = [
            f"A training step, {record['steps'][0]['model']}; the norms:",
            pipes([["norms", "ms a step", "of a step without norms"], *map(step_cells, record["steps"])]),
        ]
    return "\n\n".join([
        f"**{where}:** {machine['device']}{threads}, {machine['date'][:10]}; torch {machine['torch']}; "
        f"{record['status']}. A copy moves {machine['copy_bytes_per_s'] / 1e9:.1f} GB/s.",
        f"`{machine['command']}`",
        *steps,
        f"Operations in {rows[0]['dtype']}, forward pass (fwd) and backward pass (bwd), medians: shares of the "
        "memory's nominal bandwidth, or else of a copy's.",
        pipes([["operation", "whose", "fwd", "bwd"], *operation_cells(rows)]),
    ])  # fmt: skip


NORMS = {"rms": "RMSNorm", "ln": "LayerNorm", "add": "add + RMSNorm"}
CHOICES = {"rows": "rows", "num_warps": "warps", "num_stages": "stages", "per_sm": "an SM"}


def sweep_text(rows):
    """Return a sweep over launches as MyST text: the library's, the best, and the most that each choice lets reach."""
    tried = {}
    for row in rows:
        if row["share"]:
            tried.setdefault((row["op"], row["dir"], row["n"]), []).append(row)
    table = [["norm", "pass", "columns", "ours", "best", *CHOICES.values()]]
    for (op, way, n), launches in tried.items():
        default = next((row for row in launches if row["default"] == "True"), None)
        own = [row for row in launches if default and all(row[name] == default[name] for name in CHOICES)]
        most = [percent(max(rows, key=share)) if rows else "-" for rows in (own, launches)]
        table.append([NORMS[op], way, n, *most, *(by_choice(launches, name) for name in CHOICES)])
    return "\n\n".join([
        f"**Launches:** {sum(map(len, tried.values()))} were tried on an H100 with the library of commit 8ec6d65, in "
        "bfloat16: how many rows a program takes, by how many warps, how many stages its loop has, and how many "
        "programs share a multiprocessor (SM). Shares of the memory's nominal bandwidth, partial sums not counted.",
        f"::::{{dropdown}} For each choice the most that was reached with it, in %\n{pipes(table)}\n::::",
    ])  # fmt: skip


def share(row):
    return float(row["share"])


def percent(row):
    return f"{100 * share(row):.0f}"


def by_choice(launches, name):
    """Return what was reached with each value of a choice, where more than one was tried: "4: 91, 8: 90"."""
    values = sorted({int(row[name]) for row in launches})
    if len(values) < 2:
        return "-"
    most = (max((row for row in launches if int(row[name]) == value), key=share) for value in values)
    return ", ".join(f"{value}: {percent(row)}" for value, row in zip(values, most))


def step_cells(step):
    ratio = f"{step['ratio']:.3f} ({step['lower_ratio']:.3f} to {step['upper_ratio']:.3f})"
    return [step["way"], f"{1e3 * step['median_s']:.1f}", ratio]


def operation_cells(rows):
    """A line for each version of an operation; the name stands before the first."""
    shares = {}
    for row in rows:
        name = f"`{row['op']}`, {' x '.join(map(str, row['shape']))}"
        share = f"{100 * (row['share_of_peak'] or row['share_of_copy']):.0f} %"
        shares.setdefault(name, {}).setdefault(row["version"], {})[row["direction"]] = share
    for name, versions in shares.items():
        for place, (version, ways) in enumerate(versions.items()):
            both = [ways.get(way, "-") for way in ("forward", "backward")]
            yield [name if place == 0 else "", version, *both]


def pipes(rows):
    """Return rows of cells as a table in MyST; the first is its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def setup(app):
    app.add_role("range", roles.CustomRole("range", roles.generic_custom_role, {"class": ["range"]}))
    app.add_directive("recorded-runs", RecordedRuns)
    app.add_directive("recorded-kernels", RecordedKernels)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
