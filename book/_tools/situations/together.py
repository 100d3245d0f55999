"""The situations that take two processes: they share the rows of a batch, and average their gradients."""

import json
import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from book._tools.situations.subjects import Subject, numbers, same

WORLD = 2
SIGNS = RIGHT, REFUSED, NOTED, WRONG = "✓", "✗", "*", "wrong"  # of a cell, from the best to the worst


def compare(model: nn.Module, parameters: nn.Module, subject: Subject) -> None:
    """Raise an AssertionError unless each process has the gradients of the whole batch, divided by the processes."""
    whole = numbers(subject.build(), subject.x())
    rank, names = distributed.get_rank(), [name for name, _ in parameters.named_parameters()]
    half = numbers(model, subject.x().chunk(WORLD)[rank])
    for part in ("output", "input"):
        same({part: half[part]}, {part: whole[part].chunk(WORLD)[rank]})
    for name in names:
        grad = parameters.get_parameter(name).grad
        grad = grad.full_tensor() if hasattr(grad, "full_tensor") else grad
        same({name: grad * WORLD}, {name: whole[f"gradient of {name}"]})


def ddp(subject: Subject) -> None:
    """DistributedDataParallel."""
    model = subject.build()
    compare(DistributedDataParallel(model), model, subject)


def fsdp(subject: Subject) -> None:
    """FSDP2: ``fully_shard`` for each block and the stack."""
    model = subject.build()
    for block in model:
        fully_shard(block)
    compare(fully_shard(model), model, subject)


def fsdp_each_layer(subject: Subject) -> None:
    """FSDP2: ``fully_shard`` for each linear map, each block and the stack."""
    model = subject.build()
    for layer in [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv1d)]:
        fully_shard(layer)
    for block in model:
        fully_shard(block)
    compare(fully_shard(model), model, subject)


def fsdp_bfloat16(subject: Subject) -> None:
    """FSDP2, ``MixedPrecisionPolicy(bfloat16, float32)``: bfloat16 numbers of a process's rows, float32 gradients."""
    rank, policy = distributed.get_rank(), MixedPrecisionPolicy(torch.bfloat16, torch.float32)
    halves = subject.x().float().chunk(WORLD)
    model = subject.build().float()
    for block in model:
        fully_shard(block, mp_policy=policy)
    found = numbers(fully_shard(model, mp_policy=policy), halves[rank])
    plain = [numbers(subject.build().bfloat16(), half.bfloat16()) for half in halves]
    near(found["output"], plain[rank]["output"])
    for name, parameter in model.named_parameters():
        gradient = parameter.grad.full_tensor()
        assert gradient.dtype == torch.float32, f"the gradient of {name} is {gradient.dtype}"
        near(gradient, sum(each[f"gradient of {name}"].float() for each in plain) / WORLD)


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Raise an AssertionError if the two differ by more than four roundings to bfloat16 of the largest entry."""
    bound = 4 * 2**-8 * expected.abs().max().item()
    torch.testing.assert_close(found.float(), expected.float(), rtol=0, atol=bound)


def _work(rank, tasks, outcome, folder):
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo"} if Path("/sys/class/net/lo").exists() else {}
    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", WORLD)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=WORLD, timeout=timedelta(seconds=60))
    distributed.barrier()  # or one that has little to do is gone while the other still connects
    try:
        found = [outcome(situation, subject) for situation, subject in tasks]
        Path(folder, f"{rank}.json").write_text(json.dumps(found))
    finally:
        distributed.destroy_process_group()


def in_two_processes(tasks: list[tuple[Callable, Subject]], outcome: Callable) -> list[tuple[str, str]]:
    """Return ``outcome`` of each pair of a situation and a subject: that of the process where it is worst."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_work, (tasks, outcome, folder), nprocs=WORLD)
        found = zip(*(json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(WORLD)))
    return [tuple(max(pair, key=lambda one: SIGNS.index(one[0]))) for pair in found]
