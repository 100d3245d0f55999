"""Tables of runs: one run, two runs side by side, and the paper beside a recorded run and this one."""

import math
import re
from collections.abc import Sequence

from resnorm_lib._arguments import choice
from resnorm_lib.engine.experiment import Experiment, Metric
from resnorm_lib.engine.records import Run

__all__ = ["beside_paper", "beside_record", "compare", "phases", "summary"]

NOT_YET = "not yet recorded"


def summary(experiment: Experiment, run: Run) -> str:
    """Return a table as text: a row an arm, a column a metric, mean and range over the seeds.

    A trial whose loss ceased to be finite is shown as ``diverged``.
    """
    head = ["", *(metric.title for metric in experiment.metrics.values())]
    rows = [[arm, *(cell(run, arm, name, metric) for name, metric in experiment.metrics.items())] for arm in run.arms]
    return aligned([head, *rows])


def cell(run: Run, arm: str, name: str, metric: Metric) -> str:
    """Return one number of a run as text: the mean over seeds, and the range where there are several."""
    values = run.values(arm, name)
    lost = sum(trial.diverged is not None for trial in run.of(arm))
    if lost == len(values):
        return "diverged"
    if not any(name in trial.summary for trial in run.of(arm)):
        return "-"  # the arm has no such number
    known = [value for value in values if value is not None]
    text = f"{sum(known) / len(known):.{metric.decimals}f}" if known else "not finite"
    if len(known) > 1:
        text += f" ({min(known):.{metric.decimals}f} to {max(known):.{metric.decimals}f})"
    return text + (f", {lost} diverged" if lost else "")


def beside_paper(
    experiment: Experiment, metric: str, run: Run, recorded: Run | None = None, arms: Sequence[str] | None = None
) -> str:
    """Return a table as text with three columns: the paper's number, the recorded run on a GPU, this run.

    Where the paper has no number, or nothing is recorded yet, the table says so.

    Raises
    ------
    ValueError
        If the experiment has no such metric.
    """
    what = experiment.metrics[choice("metric", metric, experiment.metrics)]
    rows = [
        [
            "",
            "paper",
            "recorded, " + short(recorded.machine["device"]) if recorded else "recorded",
            f"here, {run.preset} preset",
        ]
    ]
    known = recorded.arms if recorded else []
    for arm in arms or list(dict.fromkeys([*known, *run.arms, *(arm for arm, _ in experiment.paper)])):
        paper = experiment.paper.get((arm, metric))
        rows.append(
            [
                arm,
                paper.value if paper else "-",
                cell(recorded, arm, metric, what) if arm in known else ("-" if recorded else NOT_YET),
                cell(run, arm, metric, what) if arm in run.arms else "-",
            ]
        )
    return f"{what.title}\n{aligned(rows)}"


def short(device: str) -> str:
    """Return the name of a device without its maker, its memory and what was remarked of it, for the head of a column.

    Examples
    --------
    >>> short("NVIDIA H100 80GB HBM3 (shared by two runs)")
    'H100'
    """
    return re.sub(r"^NVIDIA |\s\d+GB.*|\s\(.*", "", device)


def beside_record(experiment: Experiment, metrics: Sequence[str], run: Run, record: Run | None = None) -> str:
    """Return a table as text: for each metric the number of this run, and mean and range of the recorded one.

    What flips from one seed to the next, or with the processor, shows in the range.

    Raises
    ------
    ValueError
        If the experiment has no such metric.
    """
    chosen = {name: experiment.metrics[choice("metric", name, experiment.metrics)] for name in metrics}
    seeds = f"{len(record.seeds)} recorded seeds" if record else "recorded"
    head = ["", *(text for metric in chosen.values() for text in (metric.title, seeds))]
    rows = [
        [arm, *(text for name, metric in chosen.items() for text in (
            cell(run, arm, name, metric),
            cell(record, arm, name, metric) if record and arm in record.arms else NOT_YET,
        ))]
        for arm in run.arms
    ]  # fmt: skip
    return aligned([head, *rows])


def compare(experiment: Experiment, first: Run, second: Run) -> str:
    """Return a table as text of two runs of one experiment: each metric of each arm, and the difference of means.

    Raises
    ------
    ValueError
        If the runs are of different experiments.
    """
    if first.experiment != second.experiment:
        raise ValueError(
            f"one run is of {first.experiment!r} and the other of {second.experiment!r}: they do not compare."
        )
    rows = [["", "metric", "first", "second", "difference"]]
    for arm in [arm for arm in first.arms if arm in second.arms]:
        for name, metric in experiment.metrics.items():
            texts = [cell(run, arm, name, metric) for run in (first, second)]
            gap = second.mean(arm, name) - first.mean(arm, name)
            rows.append([arm, metric.label, *texts, f"{gap:+.{metric.decimals}f}" if math.isfinite(gap) else "-"])
    changed = sorted(
        key for key in first.config.keys() | second.config.keys() if first.config.get(key) != second.config.get(key)
    )
    note = [f"settings that differ: {', '.join(changed)}"] if changed else []
    only = sorted(set(first.arms) ^ set(second.arms))
    note += [f"in one of the two alone: {', '.join(only)}"] if only else []
    return "\n".join([aligned(rows), *note])


def phases(run: Run) -> str:
    """Return in a line how many seconds the trials of a run spent in each phase, all together.

    Examples
    --------
    >>> from resnorm_lib.engine.records import Trial
    >>> trials = [Trial("a", seed, phases={"build": 0.2, "train": 3.0}) for seed in (0, 1)]
    >>> phases(Run("toy", "cpu", {}, {}, trials))
    'build 0.4 s, train 6.0 s'
    """
    names = dict.fromkeys(name for trial in run.trials for name in trial.phases)
    seconds = {name: sum(trial.phases.get(name, 0.0) for trial in run.trials) for name in names}
    return ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as lines, each column as wide as its widest entry."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines)
