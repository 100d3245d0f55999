"""Recorded runs as tables: ``{recorded-runs} degradation`` shows every run of an experiment in ``book/recorded``,
``{recorded-kernels}`` the benchmark of the fused operations."""

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from resnorm_lib.experiments import get, tables
from resnorm_lib.recorded import read

FOLDER = Path(__file__).parents[1] / "recorded"
PRESETS = {"gpu": "On a GPU", "cpu": "On a processor"}


class RecordedRuns(SphinxDirective):
    """The runs of one experiment: machine, date, command, settings, and a table with the paper's numbers."""

    required_arguments = 1

    def run(self):
        experiment = get(self.arguments[0])
        parts = [experiment.question]
        for preset, where in PRESETS.items():
            path = FOLDER / f"{experiment.name}-{preset}.json"
            self.env.note_dependency(str(path))
            parts.append(
                run_text(experiment, read(path), where) if path.exists() else missing(experiment, preset, where)
            )
        container = nodes.container()
        self.state.nested_parse(StringList("\n\n".join(parts).splitlines(), self.arguments[0]), 0, container)
        return container.children


def missing(experiment, preset, where):
    command = f"python -m resnorm_lib.experiments run {experiment.name} --preset {preset} --out book/recorded"
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
        f"commit {machine['commit']}; {len(run.trials)} trials, {seconds:.0f} s together.",
        f"`{machine['command']}`",
        table(experiment, run),
        f":::{{dropdown}} Settings\n{settings}\n:::",
    ])  # fmt: skip


def table(experiment, run):
    """Return a table in MyST: a row an arm; mean and range over the seeds; beside it the paper's number, if any."""
    with_paper = [name for name in experiment.metrics if any(metric == name for _, metric in experiment.paper)]
    columns = []
    for name, metric in experiment.metrics.items():
        columns.append((f"{metric.label}{f' ({metric.unit})' if metric.unit else ''}", name, False))
        columns += [("paper", name, True)] if name in with_paper else []
    rows = [["", *(title for title, _, _ in columns)], ["---"] * (len(columns) + 1)]
    rows += [[arm, *(_entry(experiment, run, arm, name, paper) for _, name, paper in columns)] for arm in run.arms]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _entry(experiment, run, arm, name, paper):
    if not paper:
        return tables.cell(run, arm, name, experiment.metrics[name])
    known = experiment.paper.get((arm, name))
    return f"{known.value} {{cite:p}}`{known.source}`" if known else "-"


class RecordedKernels(SphinxDirective):
    """The benchmark of the fused operations: machine, date, command, and the share of the peak by width."""

    def run(self):
        paths = sorted(FOLDER.glob("kernels*.json"))
        text = "\n\n".join(kernels_text(json.loads(path.read_text())) for path in paths)
        command = "python -m resnorm_lib.ops.bench --out book/recorded/kernels.json"
        container = nodes.container()
        lines = (text or f"**On a GPU:** not yet recorded. `{command}` records it.").splitlines()
        self.state.nested_parse(StringList(lines, "kernels"), 0, container)
        return container.children


def kernels_text(record):
    """Return a record of the benchmark as MyST text: medians of the most used operations, in bfloat16."""
    machine = record["machine"]
    head = f"**On a GPU:** {machine['device']}, {record['date']}; torch {machine['torch']}; {record['status']}."
    rows = [["operation", "pass", "rows x columns", "whose", "GB/s", "% of peak"], ["---"] * 6]
    for r in record["rows"]:
        if r["dtype"] == "bfloat16":
            share = f"{100 * r['share_of_peak']:.0f}" if r["share_of_peak"] else "-"
            shape = " x ".join(map(str, r["shape"]))
            rows.append([r["op"], r["direction"], shape, r["version"], f"{r['bytes_per_s'] / 1e9:.0f}", share])
    return "\n\n".join([head, f"`{record['command']}`", "\n".join("| " + " | ".join(row) + " |" for row in rows)])


def setup(app):
    app.add_directive("recorded-runs", RecordedRuns)
    app.add_directive("recorded-kernels", RecordedKernels)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
