"""The command line: ``python -m resnorm_lib.parallel TASK ...`` runs the scripts of the chapter "On many devices"."""

import argparse
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch.distributed as dist

from resnorm_lib._arguments import positive_int
from resnorm_lib.parallel import launch

__all__ = ["TASKS", "main", "parser", "what_is_left"]

TASKS = {  # the module of each, imported when it is asked for, and what it does
    "data": ("data_parallel", "compare averaged gradients with those of the whole batch"),
    "norms": ("batch_statistics", "the same for BatchNorm, SyncBatchNorm and LayerNorm, with their messages counted"),
    "sequence": ("sequence_parallel", "cut a Transformer layer by columns and rows, then its stream by tokens"),
    "shard": ("sharded", "train a language model of which each process keeps a part (FSDP2)"),
    "train": ("training", "train for some steps, with a checkpoint from which a killed run goes on"),
}


def parser() -> ArgumentParser:
    tasks = "\n".join(f"  {name:10}{about}" for name, (_, about) in TASKS.items())
    result = argparse.ArgumentParser(
        prog="python -m resnorm_lib.parallel",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Spread small networks over several processes, and compare them with one process.",
        epilog=f"tasks, done in the order given:\n{tasks}\n\nUnder torchrun the processes are those that it starts:\n"
        "  torchrun --nproc-per-node 2 -m resnorm_lib.parallel data norms",
    )
    result.add_argument("tasks", nargs="+", choices=TASKS, metavar="TASK", help="one or more of the tasks below")
    result.add_argument("--processes", type=int, default=2, metavar="N", help="processes to start on this machine (2)")
    result.add_argument(
        "--device",
        choices=launch.BACKENDS,
        default="cpu",
        help="cpu, with gloo between them, or cuda, with NCCL and a GPU for each (cpu)",
    )
    result.add_argument("--rows", type=int, default=16, metavar="N", help="rows of the whole batch (16)")
    result.add_argument("--limit", type=float, default=120, metavar="SECONDS", help="stop what takes longer (120)")
    result.add_argument("--out", type=Path, metavar="FILE", help="write all that was measured as JSON")
    train = result.add_argument_group("for train")
    train.add_argument("--steps", type=int, default=12, metavar="N", help="steps in all, those before included (12)")
    train.add_argument("--every", type=int, default=3, metavar="N", help="steps between two checkpoints (3)")
    train.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="written on the way; if it is there, go on from it"
    )
    train.add_argument("--kill", type=rank_and_step, metavar="RANK:STEP", help="let this process die before this step")
    return result


def rank_and_step(text: str) -> tuple[int, int]:
    rank, _, step = text.partition(":")
    if not (rank.isdigit() and step.isdigit()):
        raise argparse.ArgumentTypeError(f"--kill is {text!r}, but it must be two numbers, RANK:STEP, such as 1:8.")
    return int(rank), int(step)


def module_of(task: str) -> ModuleType:
    return import_module(f"resnorm_lib.parallel.{TASKS[task][0]}")


def work(options: Namespace) -> None:
    """Do the tasks as one of the processes; process 0 speaks."""
    measured = {}
    for task in options.tasks:
        module = module_of(task)
        measured[task] = found = module.measure(options)
        if dist.get_rank() == 0:
            heading = f"{task}, processes: {dist.get_world_size()}"
            print("\n  ".join([heading, *module.describe(found)]), flush=True)
    if options.out and dist.get_rank() == 0:
        options.out.write_text(json.dumps(measured), encoding="utf-8")


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line; ``words`` are its arguments.

    Raises
    ------
    SystemExit
        With one sentence, if an argument does not fit or a process fails.
    """
    options = parser().parse_args(words)
    try:
        for name in ("rows", "steps", "every"):
            positive_int(name, getattr(options, name))
        for task in options.tasks:  # what is imported before the fork is imported once
            module_of(task)
        import_module("torch._dynamo")  # by torch itself when first needed
        launch.run(partial(work, options), options.processes, device=options.device, limit=options.limit)
    except ValueError as error:
        sys.exit(str(error))
    except launch.ProcessFailed as error:
        sys.exit(f"{error}{what_is_left(options)}")


def what_is_left(options: Namespace) -> str:
    """Say from where the next run goes on, if there is a checkpoint."""
    path = options.checkpoint
    if not (path and path.exists()):
        return ""
    from resnorm_lib.parallel.training import steps_in

    return f" {path.name} holds {steps_in(path)} steps; the next run goes on from there."
