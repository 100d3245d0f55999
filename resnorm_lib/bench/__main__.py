"""The command line of the benchmark: ``python -m resnorm_lib.bench --help``."""

import argparse
import json
import shlex
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from resnorm_lib._pipe import until_the_reader_leaves
from resnorm_lib.bench import host, launches, memory, operations, plot, ratios
from resnorm_lib.bench.cases import DTYPES, MAIN, OPS, Case, default_cases, parse_shape
from resnorm_lib.bench.record import Record
from resnorm_lib.bench.schema import SCHEMA
from resnorm_lib.bench.steps import SIZES, WAYS, Size, time_steps
from resnorm_lib.bench.timing import Clock
from resnorm_lib.bench.versions import VERSIONS
from resnorm_lib.engine.documents import write_document
from resnorm_lib.engine.fingerprint import of_experiment
from resnorm_lib.engine.machine import machine


def parser() -> ArgumentParser:
    """Return the parser, with the function that does a sub-command's work as its default ``work``."""
    result = argparse.ArgumentParser(prog="python -m resnorm_lib.bench", description="How fast the library is.")
    commands = result.add_subparsers(required=True, metavar="COMMAND")

    def command(work: Callable[[Namespace], int], name: str, about: str) -> ArgumentParser:
        words = commands.add_parser(name, help=about, description=about)
        words.set_defaults(work=work, parser=words)
        return words

    one = command(run_operations, "operations", "time every operation and the training steps, and record them")
    one.add_argument("--out", required=True, help="the record, JSON")
    one.add_argument("--ops", nargs="+", choices=OPS, metavar="OP", help=f"of {', '.join(OPS)}")
    one.add_argument("--dtypes", nargs="+", choices=DTYPES, metavar="DTYPE", help=f"of {', '.join(DTYPES)}")
    one.add_argument("--shapes", help="MxN,... ; three numbers or more for group_norm")
    one.add_argument("--no-steps", action="store_true", help="leave whole training steps out")
    one.add_argument("--budget", type=float, help="seconds after which no further case is begun")
    one.add_argument("--no-graphs", action="store_true", help="leave CUDA graphs out")
    two = command(run_steps, "steps", "time whole training steps, their norms made in several ways")
    for words in (one, two):
        words.add_argument("--versions", nargs="+", choices=VERSIONS, metavar="V", help=f"of {', '.join(VERSIONS)}")
        words.add_argument("--quick", action="store_true", help="one dtype and few shapes, fewer runs of each")
        words.add_argument("--device", help="cuda (default) or cpu")
    words = command(run_host, "host", "time what a call costs the processor, beside torch's layer_norm")
    words.add_argument("--device", help="cuda, or without a GPU cpu (default), where all but the launch is timed")
    words.add_argument("--out", help="the record, JSON")
    words = command(run_launches, "launches", "time other launches of the backward kernels for long rows, on a GPU")
    words.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no launch is begun")
    words.add_argument("--out", help="the record, JSON")
    words.set_defaults(device=None, quick=False)
    words = command(run_ratios, "ratios", "measure the library against plain torch, and fail where a goal is missed")
    words.add_argument("--only", nargs="+", choices=ratios.GOALS, metavar="GROUP", default=tuple(ratios.GOALS),
                       help=f"of {', '.join(map(repr, ratios.GOALS))}")  # fmt: skip
    words.add_argument("--out", help="the record, JSON")
    words = command(draw, "plot", "draw a record of operations: bandwidth by bytes moved")
    words.add_argument("record", help="the record, JSON")
    words.add_argument("png", help="the drawing")
    command(print_schema, "schema", "print the JSON Schema of a record of operations")
    return result


def clock_of(options: Namespace) -> Clock:
    """Return the clock of the device that is asked for; end with a sentence where torch has no such device."""
    name = options.device
    if name is None and not torch.cuda.is_available():
        options.parser.error(
            "this machine has no GPU that torch can use; --device cpu tries the benchmark on tiny shapes."
        )
    device = torch.device(name or "cuda")
    if device.type not in ("cuda", "cpu") or (device.type == "cuda" and not torch.cuda.is_available()):
        options.parser.error(f"the device {name!r} is asked for, but torch finds none on this machine.")
    device = torch.device("cuda", device.index or 0) if device.type == "cuda" else device
    if device.type == "cpu":
        memory.keep_memory()
    quick = options.quick
    return Clock(device, runs=40 if quick else 100, seconds=0.1 if quick and device.type == "cpu" else 0.5)


def chosen_cases(options: Namespace, is_cpu: bool) -> list[Case]:
    try:
        shapes = [parse_shape(text) for text in options.shapes.split(",")] if options.shapes else None
    except ValueError as error:
        options.parser.error(str(error))
    cases = default_cases(options.ops, options.dtypes, shapes, options.quick, is_cpu)
    if not cases:
        options.parser.error("no shape fits any operation: group_norm takes three numbers or more, all others two.")
    return cases


def run_operations(options: Namespace) -> int:
    """Record all cases; return 130 after Ctrl-C, with what is finished on disk."""
    if not Path(options.out).resolve().parent.is_dir():
        options.parser.error("--out must name the file of the record, in a folder that is there.")
    clock = clock_of(options)
    cases = chosen_cases(options, not clock.is_cuda)
    document = Record(options.out, clock.device, clock, options.command)
    first = [case for case in cases if case.op in MAIN and case[1:] == cases[0][1:]]
    try:
        time_cases(cases, clock, document, options, steps_after=None if options.no_steps else len(first))
    except KeyboardInterrupt:
        document.write(status="interrupted")
        return 130
    return 0


def run_steps(options: Namespace) -> int:
    timed_steps(clock_of(options), options)
    return 0


def timed_steps(clock: Clock, options: Namespace) -> tuple[Size, dict[str, dict]]:
    """Print and return the time of a training step for each way of making norms that is wanted and possible."""
    size = SIZES[clock.device.type]
    left_out = {"ours"} if not clock.is_cuda else set()  # on a CPU ours is torch's
    left_out |= {"torch.compile"} if options.quick else set()
    wanted = options.versions or list(WAYS)
    ways = [way for way in WAYS if way == "none" or (way in wanted and way not in left_out)]
    print(f"training steps: {size}", file=sys.stderr, flush=True)
    summary = time_steps(clock, size, ways, turns=5 if options.quick else 25)
    for way, times in summary.items():
        print(f"    {way:15} {1e3 * times['median_s']:9.2f} ms  {times['ratio']:5.3f} of a step without norms")
    return size, summary


def time_cases(cases: list[Case], clock: Clock, document: Record, options: Namespace, steps_after: int | None) -> None:
    """Measure the cases in their order, and after some of them the training steps, unless ``steps_after`` is None.

    It stops before a case that would not end within the budget.
    """
    start, longest = time.monotonic(), 0.0
    for number, case in enumerate(cases):
        if number == steps_after:
            document.add_steps(*timed_steps(clock, options))
        begun = time.monotonic()
        spent = begun - start
        left = spent / number * (len(cases) - number) if number else None
        if options.budget is not None:
            rest = options.budget - spent
            if rest < longest or rest <= 0:
                document.write(status="budget", left_out=[str(case) for case in cases[number:]])
                return
            left = rest if left is None else min(left, rest)
        about = "" if left is None else f", about {int(left) // 60}:{int(left) % 60:02d} left"
        print(f"[{number + 1}/{len(cases)}] {case}{about}", file=sys.stderr, flush=True)
        operations.measure(
            case, clock, document, options.versions or list(VERSIONS), not options.no_graphs,
            on_row=lambda row: print("    " + described(row), flush=True),
        )  # fmt: skip
        longest = max(longest, time.monotonic() - begun) if number else 0.0  # the first one warms up
    document.write(status="complete")


def described(row: dict) -> str:
    peak = row["share_of_peak"]
    share = f"{100 * peak:5.1f} % of peak" if peak else f"{100 * row['share_of_copy']:5.1f} % of a copy"
    return f"{row['version']:15} {row['direction']:8} {1e6 * row['median_s']:9.1f} us  {share}"


def run_ratios(options: Namespace) -> int:
    """Measure the ratios; end with a sentence where one is above its goal, after the record is written."""
    document = ratios.report(options.only, options.command)
    if options.out:
        write_document(document, options.out, indent=1)
    if any(row["ratio"] > row["goal"] for row in document["pairs"]):
        sys.exit("A ratio is above its goal.")
    return 0


def run_host(options: Namespace) -> int:
    """Print what each operation costs the processor, and its ratio to the goal's measure."""
    device = torch.device(options.device or "cpu")
    torch.set_num_threads(1)
    rows = host.measure(device)
    for row in rows:
        print(f"{row['op']:16}{row['direction']:8}{1e6 * row['median_s']:7.1f} us  {row['ratio']:5.2f}")
    if options.out:
        about = {"goal": host.GOAL, "machine": machine(options.command), "code": of_experiment(host.__name__)}
        write_document(about | {"device": device.type, "rows": rows}, options.out, indent=1)
    return 0


def run_launches(options: Namespace) -> int:
    """Print and record the time of each launch as soon as it is known."""
    clock, rows = clock_of(options), []
    about = {"machine": machine(options.command) | memory.describe(clock.device, clock)}
    about["code"] = of_experiment(launches.__name__)

    def note(row: dict) -> None:
        rows.append(row)
        print(told(row), flush=True)
        if options.out:
            write_document(about | {"rows": rows}, options.out, indent=1)

    launches.measure(clock, budget=options.budget, on_row=note)
    return 0


def told(row: dict) -> str:
    """Return a row of launches in a line."""
    how = " ".join(f"{name}={value}" for name, value in (row["launch"] or {"the library's": "own"}).items())
    if "reason" in row:
        return f"{row['op']:10} {row['shape'][1]:6}  {row['reason']}  {how}"
    share = f"{row['share_of_peak'] or 0:4.0%} of peak, {row['bound']:4.0%} by its bytes"
    return f"{row['op']:10} {row['shape'][1]:6} {1e6 * row['median_s']:9.1f} us {share}  {how}"


def draw(options: Namespace) -> int:
    plot.draw(options.record, options.png)
    return 0


def print_schema(options: Namespace) -> int:
    print(json.dumps(SCHEMA, indent=1))
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; ``words`` are its arguments.

    Returns
    -------
    int
        0, or 130 after Ctrl-C.
    """
    with until_the_reader_leaves():
        options = parser().parse_args(words)
        options.command = shlex.join(["python", "-m", "resnorm_lib.bench", *(sys.argv[1:] if words is None else words)])
        return options.work(options)


if __name__ == "__main__":
    sys.exit(main())
