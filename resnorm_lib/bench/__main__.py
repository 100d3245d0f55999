"""The command line of the benchmark: ``python -m resnorm_lib.bench --help``."""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import torch

from resnorm_lib.bench import machine, plot, record
from resnorm_lib.bench.cases import DTYPES, OPS, default_cases, parse_shape
from resnorm_lib.bench.schema import SCHEMA
from resnorm_lib.bench.steps import SIZES, WAYS, time_steps
from resnorm_lib.bench.timing import Clock
from resnorm_lib.bench.versions import VERSIONS


def parser():
    result = argparse.ArgumentParser(prog="python -m resnorm_lib.bench", description=__doc__)
    result.add_argument("--out", help="the record, JSON")
    result.add_argument("--quick", action="store_true", help="one dtype and few shapes, fewer runs of each")
    result.add_argument("--ops", nargs="+", choices=OPS, metavar="OP", help=f"of {', '.join(OPS)}")
    result.add_argument("--dtypes", nargs="+", choices=DTYPES, metavar="DTYPE", help=f"of {', '.join(DTYPES)}")
    result.add_argument("--shapes", help="MxN,... ; three numbers or more for group_norm")
    result.add_argument("--versions", nargs="+", choices=VERSIONS, metavar="V", help=f"of {', '.join(VERSIONS)}")
    result.add_argument("--no-steps", action="store_true", help="leave whole training steps out")
    result.add_argument("--budget", type=float, help="seconds after which no further case is begun")
    result.add_argument("--no-graphs", action="store_true", help="leave CUDA graphs out")
    result.add_argument("--device", help="cuda (default) or cpu")
    result.add_argument("--plot", metavar="FILE", help="draw the record FILE into --png")
    result.add_argument("--png", help="the drawing")
    result.add_argument("--schema", action="store_true", help="print the JSON Schema of a record")
    return result


def chosen_device(name, arguments):
    if name is None and not torch.cuda.is_available():
        arguments.error("this machine has no GPU that torch can use; --device cpu tries the benchmark on tiny shapes.")
    device = torch.device(name or "cuda")
    if device.type not in ("cuda", "cpu") or (device.type == "cuda" and not torch.cuda.is_available()):
        arguments.error(f"the device {name!r} is asked for, but torch finds none on this machine.")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def describe(row):
    peak = row["share_of_peak"]
    share = f"{100 * peak:5.1f} % of peak" if peak else f"{100 * row['share_of_copy']:5.1f} % of a copy"
    return f"{row['version']:15} {row['direction']:8} {1e6 * row['median_s']:9.1f} us  {share}"


def minutes(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def run_steps(clock, document, options):
    """Training steps, norms made in every way that is wanted and possible here."""
    size = SIZES[clock.device.type]
    left_out = {"ours"} if not clock.is_cuda else set()  # on a CPU ours is torch's
    left_out |= {"torch.compile"} if options.quick else set()
    wanted = options.versions or list(WAYS)
    ways = [way for way in WAYS if way == "none" or (way in wanted and way not in left_out)]
    print(f"training steps: {size}", file=sys.stderr, flush=True)
    summary = time_steps(clock, size, ways, turns=5 if options.quick else 25)
    document.add_steps(size, summary)
    for way, times in summary.items():
        print(f"    {way:15} {1e3 * times['median_s']:9.2f} ms  {times['ratio']:5.3f} of a step without norms")


def run(cases, clock, document, options):
    """Measure the cases in their order; stop before one that would not end within the budget."""
    start, longest = time.monotonic(), 0.0
    if not options.no_steps:
        run_steps(clock, document, options)
    for number, case in enumerate(cases):
        spent = time.monotonic() - start
        left = spent / number * (len(cases) - number) if number else None
        if options.budget is not None:
            rest = options.budget - spent
            if rest < longest or rest <= 0:
                document.write(status="budget", left_out=[str(case) for case in cases[number:]])
                return
            left = rest if left is None else min(left, rest)
        about = "" if left is None else f", about {minutes(left)} left"
        print(f"[{number + 1}/{len(cases)}] {case}{about}", file=sys.stderr, flush=True)
        record.measure(
            case, clock, document, options.versions or list(VERSIONS), not options.no_graphs,
            on_row=lambda row: print("    " + describe(row), flush=True),
        )  # fmt: skip
        longest = max(longest, time.monotonic() - start - spent) if number else 0.0  # the first one warms up
    document.write(status="complete")


def main(words=None):
    """Run the command line; ``words`` are its arguments.

    Returns
    -------
    int
        0, or 130 after Ctrl-C.
    """
    arguments = parser()
    options = arguments.parse_args(words)
    if options.schema:
        print(json.dumps(SCHEMA, indent=1))
        return 0
    if options.plot:
        if not options.png:
            arguments.error("--plot needs --png, the file to draw into.")
        plot.draw(options.plot, options.png)
        return 0
    if not options.out or not Path(options.out).resolve().parent.is_dir():
        arguments.error("--out must name the file of the record, in a folder that is there.")
    device = chosen_device(options.device, arguments)
    try:
        shapes = [parse_shape(text) for text in options.shapes.split(",")] if options.shapes else None
    except ValueError as error:
        arguments.error(str(error))
    is_cpu = device.type == "cpu"
    if is_cpu:
        machine.keep_memory()
    cases = default_cases(options.ops, options.dtypes, shapes, options.quick, is_cpu)
    if not cases:
        arguments.error("no shape fits any operation: group_norm takes three numbers or more, all others two.")
    clock = Clock(device, runs=40 if options.quick else 100, seconds=0.1 if options.quick and is_cpu else 0.5)
    command = shlex.join(["python", "-m", "resnorm_lib.bench", *(sys.argv[1:] if words is None else words)])
    document = record.Record(options.out, device, clock, command)
    try:
        run(cases, clock, document, options)
    except KeyboardInterrupt:
        document.write(status="interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
