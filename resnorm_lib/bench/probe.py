"""What a probe costs, against a plain forward and backward pass: ``python -m resnorm_lib.bench.probe``."""

import statistics
import time

import torch
from torch.nn import functional as F

from resnorm_lib._arguments import positive_int
from resnorm_lib.probes.call import Call, mean_square
from resnorm_lib.probes.run import probe
from resnorm_lib.probes.untouched import untouched

__all__ = ["price"]


def price(model, batch, loss=mean_square, *, repeats=9):
    """Return the time of a probe over that of a plain forward and backward pass: medians, taken in turns.

    The plain pass computes the gradients of all parameters, as a training step does. A probe pays some 20 microseconds
    for each call of torch and leaves those gradients out, so the price is below 1 for large layers and several times 1
    for layers that take microseconds themselves.

    Parameters
    ----------
    model, batch, loss
        As for :func:`resnorm_lib.probes.probe`.
    repeats : int, default 9
        How often each of the two runs.

    Raises
    ------
    ValueError
        If an argument does not fit, or no parameter requires a gradient.

    Examples
    --------
    >>> 0 < price(torch.nn.Linear(8, 8), torch.randn(4, 8), repeats=1)
    True
    """
    call = Call(model, batch, loss, 0)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters or loss is None:
        raise ValueError("there is no backward pass to compare with: the model needs parameters, and loss must be one.")

    def plain():
        value = call.loss_of(model(*call.args, **call.kwargs))
        torch.autograd.grad(value, parameters, allow_unused=True)

    ways = {"plain": plain, "probe": lambda: probe(model, batch, loss)}
    times = {name: [] for name in ways}
    with untouched(model):
        for _ in range(positive_int("repeats", repeats) + 1):
            for name, way in ways.items():
                begin = time.perf_counter()
                way()
                times[name].append(time.perf_counter() - begin)
    return statistics.median(times["probe"][1:]) / statistics.median(times["plain"][1:])  # the first time warms up


def main():
    from resnorm_lib.models import MLP, DecoderLM, cifar_resnet, resnet18

    torch.set_num_threads(1)
    tokens, generator = (8, 128), torch.Generator().manual_seed(0)
    words = [torch.randint(256, tokens, generator=generator) for _ in range(2)]
    cases = {
        "DecoderLM, 6 layers of 256, 8 x 128 tokens": (DecoderLM(256, 256, 6, 4, 128), words, _next_word),
        "ResNet-18, 2 images of 128 x 128": (resnet18(), torch.randn(2, 3, 128, 128, generator=generator), mean_square),
        "ResNet-20, 32 images of 32 x 32": (
            cifar_resnet(20),
            torch.randn(32, 3, 32, 32, generator=generator),
            mean_square,
        ),
        "MLP, 40 blocks of 64, 128 rows": (MLP(64, 64, 40, 10), torch.randn(128, 64, generator=generator), mean_square),
    }
    for name, (model, batch, loss) in cases.items():
        print(f"{name:43} {price(model, batch, loss):5.2f} times a plain forward and backward pass")


def _next_word(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


if __name__ == "__main__":
    main()
