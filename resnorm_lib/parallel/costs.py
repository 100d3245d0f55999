r"""What messages between devices cost, on paper: bytes, and seconds by latency and bandwidth.

A collective operation of N processes on a tensor of B bytes is made of rounds in which each process sends one message
to another. A round costs the latency :math:`\alpha`, whatever is sent, and a byte :math:`1/\beta` seconds. All-gather
and reduce-scatter are half an all-reduce each:

.. math::

    t = r\,\alpha + \frac{(N-1)\,B}{N\,\beta} \quad\text{with } r = N - 1 \text{ (ring) or } \log_2 N \text{ (tree)}

Thakur, Rabenseifner and Gropp (2005), Optimization of collective communication operations in MPICH. "Tree" stands for
their recursive doubling and halving, whose rounds grow like those of a tree.
"""

import math
from collections.abc import Iterable

from resnorm_lib._arguments import choice, number, positive_int

__all__ = ["gradient_seconds", "ring_bytes", "seconds", "sync_norm_bytes", "sync_norm_seconds"]

HALVES = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1}
ROUNDS = {"ring": lambda processes: processes - 1, "tree": lambda processes: math.ceil(math.log2(processes))}
FLOAT32 = 4  # bytes


def ring_bytes(kind: str, size: float, processes: int) -> float:
    r"""Return the bytes that each process sends: :math:`2\frac{N-1}{N}B` for an all-reduce, else half of that.

    No algorithm sends less (Patarasuk and Yuan, 2009, Bandwidth optimal all-reduce algorithms for clusters).

    Parameters
    ----------
    kind : {"all-reduce", "all-gather", "reduce-scatter"}
    size : number
        Bytes of the whole tensor: after an all-gather, before a reduce-scatter.
    processes : int

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> ring_bytes("all-reduce", 1000, 2), ring_bytes("all-gather", 1000, 2), ring_bytes("all-reduce", 1000, 1)
    (1000.0, 500.0, 0.0)
    """
    halves = HALVES[choice("kind", kind, HALVES)]
    return halves * (1 - 1 / positive_int("processes", processes)) * number("size", size, at_least=0)


def seconds(
    kind: str, size: float, processes: int, *, latency: float, bandwidth: float, algorithm: str = "ring"
) -> float:
    r"""Return the time :math:`r\alpha + \frac{N-1}{N}B/\beta` of one operation, and twice that for an all-reduce.

    Parameters
    ----------
    kind, size, processes
        As for :func:`ring_bytes`.
    latency : number
        Seconds that a message takes even if it is empty.
    bandwidth : number
        Bytes that a process sends in a second.
    algorithm : {"ring", "tree"}

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> round(seconds("all-reduce", 1e8, 8, latency=1e-5, bandwidth=25e9), 5)  # nearly all for the bytes
    0.00714
    >>> round(seconds("all-reduce", 512, 8, latency=1e-5, bandwidth=25e9), 5)  # all for the rounds
    0.00014
    """
    if number("bandwidth", bandwidth) <= 0:
        raise ValueError(f"bandwidth is {bandwidth}, but it must be positive.")
    per_half = ROUNDS[choice("algorithm", algorithm, ROUNDS)](positive_int("processes", processes))
    rounds = HALVES[choice("kind", kind, HALVES)] * per_half
    return rounds * number("latency", latency, at_least=0) + ring_bytes(kind, size, processes) / bandwidth


def sync_norm_bytes(channels: int, processes: int) -> dict[str, int]:
    """Return the sizes of the two messages of synchronized batch normalization, one layer, one step, in float32.

    Forward each process gathers mean, variance (C numbers each) and count of every process; backward two sums of C
    numbers are added up. These are the whole tensors, as :class:`~resnorm_lib.parallel.traffic.Traffic` counts them.

    Examples
    --------
    >>> sync_norm_bytes(64, processes=8)
    {'all-gather': 4128, 'all-reduce': 512}
    """
    return {"all-gather": processes * (2 * channels + 1) * FLOAT32, "all-reduce": 2 * channels * FLOAT32}


def sync_norm_seconds(channels: Iterable[int], processes: int, **line: float | str) -> float:
    """Return the time that a training step spends on the statistics of layers with so many channels each.

    ``line`` holds latency, bandwidth and algorithm, as for :func:`seconds`. No message can wait for the next one: the
    layer behind needs the answer.

    Examples
    --------
    >>> round(sync_norm_seconds([64] * 50, 8, latency=1e-5, bandwidth=25e9), 4)
    0.0105
    """
    sizes = [sync_norm_bytes(each, processes) for each in channels]
    return sum(seconds(kind, size, processes, **line) for layer in sizes for kind, size in layer.items())


def gradient_seconds(parameters: int, processes: int, **line: float | str) -> float:
    """Return the time of one all-reduce of the float32 gradients of a model; ``line`` as for :func:`seconds`.

    Examples
    --------
    >>> round(gradient_seconds(25_000_000, 8, latency=1e-5, bandwidth=25e9), 4)
    0.0071
    """
    return seconds("all-reduce", FLOAT32 * parameters, processes, **line)
