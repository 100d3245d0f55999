"""Start equal processes on this machine, or join those that torchrun has started.

Each process runs one function as a member of the group of all processes. Nothing can hang: a message that does not come
within ``limit`` seconds is an error, and so is a run that lasts longer.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import torch.distributed as dist

from resnorm_lib._arguments import choice, number, positive_int

__all__ = ["ProcessFailed", "by_torchrun", "home", "run"]

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


class ProcessFailed(RuntimeError):
    """One of the processes has ended before its time; the message says which and how."""


def by_torchrun() -> bool:
    """Return whether torchrun has started this process: then it has also said how many there are."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= {*os.environ}


def home() -> torch.device:
    """Return the device on which this process keeps its tensors: its own GPU under NCCL, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


def run(work: Callable[[], None], processes: int = 2, *, device: str = "cpu", limit: float = 120.0) -> None:
    """Run ``work()`` in each of several processes that can send each other tensors, and wait until all have ended.

    Under torchrun the processes are there already, and ``processes`` is not asked. One process needs no other: it is
    this one. More are forked from it, or spawned where CUDA or the system allows no fork: there ``work`` must be
    importable.

    Parameters
    ----------
    work : callable
        Finds its place by ``torch.distributed.get_rank()`` and ``get_world_size()``.
    processes : int, default 2
    device : {"cpu", "cuda"}
        Where tensors live: gloo carries those of a CPU, NCCL those of GPUs, one process each.
    limit : number, default 120
        Seconds.

    Raises
    ------
    ValueError
        If an argument does not fit, or there are fewer GPUs than processes.
    ProcessFailed
        If a process raised an error, was killed, or did not end in time. The others are stopped first.

    Examples
    --------
    >>> run(lambda: print(dist.get_rank(), "of", dist.get_world_size()), processes=1)
    0 of 1
    """
    processes, limit = positive_int("processes", processes), number("limit", limit, at_least=1)
    backend = BACKENDS[choice("device", device, BACKENDS)]
    if by_torchrun():
        return _join(work, backend, limit, local_rank=int(os.environ["LOCAL_RANK"]))
    with tempfile.TemporaryDirectory() as folder:
        if processes == 1:
            return _join(work, backend, limit, store=dist.FileStore(f"{folder}/store", 1), rank=0, world_size=1)
        forks = device == "cpu" and "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"

        context = multiprocessing.get_context("fork" if forks else "spawn")
        arguments = [(work, backend, limit, folder, rank, processes) for rank in range(processes)]
        members = [context.Process(target=_member, args=each, daemon=True) for each in arguments]
        _see_through(members, limit, Path(folder))


def _join(work: Callable[[], None], backend: str, limit: float, local_rank: int | None = None, **group) -> None:
    """Do the work as a member of the group of all processes."""
    if backend == "nccl":
        _take_gpu(group.get("rank") if local_rank is None else local_rank)
    on_one_machine = os.environ.get("LOCAL_WORLD_SIZE", "1") == os.environ.get("WORLD_SIZE", "1")
    if on_one_machine and Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # whatever the name of the machine resolves to
    torch.set_num_threads(1)
    dist.init_process_group(backend, timeout=timedelta(seconds=limit), **group)
    try:
        work()
    finally:
        # Torch 2.6 holds Python's lock while it waits here for gloo's threads, and one that lets go of the last message
        # needs that lock: let it have it before. (PyTorch's pull request 154976 mends this.)
        time.sleep(0.1)
        dist.destroy_process_group()


def _take_gpu(rank: int) -> None:
    if rank >= torch.cuda.device_count():
        raise ValueError(
            f"device is 'cuda', where each process needs a GPU of its own, but process {rank} finds "
            f"{torch.cuda.device_count()} on this machine: start fewer processes, or take device='cpu'."
        )
    torch.cuda.set_device(rank)


def _member(work: Callable[[], None], backend: str, limit: float, folder: str, rank: int, processes: int) -> None:
    """Be one process; what goes wrong is left in a file, for the one who waits."""
    try:
        store = dist.FileStore(f"{folder}/store", processes)
        _join(work, backend, limit, store=store, rank=rank, world_size=processes)
    except Exception as error:
        said = str(error) if isinstance(error, ValueError) else traceback.format_exc()
        Path(folder, f"error{rank}").write_text(said, encoding="utf-8")
        sys.exit(1)


def _see_through(members: list[BaseProcess], limit: float, folder: Path) -> None:
    """Start the processes and wait for them. When one fails, stop the others and say why."""
    end = time.monotonic() + limit
    for member in members:
        member.start()
    try:
        while alive := [member.sentinel for member in members if member.is_alive()]:
            ended = wait(alive, timeout=max(0.0, end - time.monotonic()))
            if not ended or any(member.exitcode for member in members):
                break
        failed = [member.exitcode for member in members]
    finally:
        for member in members:
            member.kill()
            member.join()
    if any(code != 0 for code in failed):
        raise ProcessFailed(_what_failed(failed, limit, folder))


def _what_failed(codes: list[int | None], limit: float, folder: Path) -> str:
    """Name the cause. A killed process comes first: those that waited for its message fail after it."""
    stopped = f"{'The other was' if len(codes) == 2 else 'The others were'} stopped."
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            return f"Process {rank} of {len(codes)} was killed ({signal.Signals(-code).name}). {stopped}"
    for rank, code in enumerate(codes):
        said = folder / f"error{rank}"
        if code and said.exists():
            return f"Process {rank} of {len(codes)} failed: {said.read_text(encoding='utf-8').strip()}"
    for rank, code in enumerate(codes):
        if code:
            return f"Process {rank} of {len(codes)} ended with exit code {code}. {stopped}"
    return f"The run was not over after {limit:g} s, and was stopped."
