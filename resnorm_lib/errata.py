"""How a finding about an article is shown: each function evaluates what is claimed and what is correct, and claims.

A finding ``a1-name`` is shown by the claim ``erratum.a1-name``. Findings of one kind share one function. Where a
program could not have come out otherwise, :func:`illustrate` prints what it gives and claims nothing.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnorm_lib import runtime
from resnorm_lib.claims import check
from resnorm_lib.data import load_digits

__all__ = [
    "agree",
    "counts",
    "differ",
    "difference",
    "illustrate",
    "neighbours_matter",
    "raises",
    "refusal",
    "stream_growth",
    "sums_drawn",
    "trained_on_digits",
    "ways",
]

EXACT = 1e-6  # what float32 may be off by, relative to numbers of about 1
Numbers = Tensor | Sequence | float  # what torch makes a tensor of
Arrow = tuple[Hashable, Hashable]  # of a drawing: from, to


def differ(finding: str, statement: str, claimed: Numbers, correct: Numbers, at_least: float = 1e-3) -> None:
    """Claim that two results differ: the largest difference of their entries is at least ``at_least``.

    Results of different shapes differ by definition, in the number of their entries.

    Examples
    --------
    >>> differ("a0-demo", "dividing by the variance is no standardization", [1.0, 2.0], [1.0, 2.5])
    check  erratum.a0-demo  dividing by the variance is no standardization  0.5 >= 0.001
    """
    claimed, correct = _tensors(claimed, correct)
    if claimed.shape != correct.shape:
        check(f"erratum.{finding}", statement, abs(claimed.numel() - correct.numel()), at_least=1)
    else:
        check(f"erratum.{finding}", statement, (claimed - correct).abs().max(), at_least=at_least)


def agree(finding: str, statement: str, first: Numbers, second: Numbers, at_most: float = EXACT) -> None:
    """Claim that two results are the same to ``at_most``, where an article says or implies that they are not.

    Raises
    ------
    ValueError
        If their shapes differ.
    """
    first, second = _tensors(first, second)
    if first.shape != second.shape:
        raise ValueError(f"first has shape {tuple(first.shape)} and second {tuple(second.shape)}, but they must agree.")
    check(f"erratum.{finding}", statement, (first - second).abs().max(), at_most=at_most)


def raises(finding: str, statement: str, error: type[Exception], function: Callable[[], object]) -> None:
    """Claim that ``function()`` raises ``error``, and print the message.

    Examples
    --------
    >>> raises("a0-demo", "a list has no item 3", IndexError, lambda: [][3])
    IndexError: list index out of range
    check  erratum.a0-demo  a list has no item 3  1 >= 1
    """
    message = refusal(error, function)
    print(message or "no error")
    check(f"erratum.{finding}", statement, int(bool(message)), at_least=1)


def refusal(error: type[Exception], function: Callable[[], object]) -> str:
    """Return name and message of the ``error`` that ``function()`` raises, and an empty text if it raises none.

    Examples
    --------
    >>> refusal(IndexError, lambda: [][3])
    'IndexError: list index out of range'
    """
    try:
        function()
    except error as raised:
        return f"{type(raised).__name__}: {str(raised).splitlines()[0]}"
    return ""


def illustrate(finding: str, statement: str, shown: float | Tensor | str) -> None:
    """Print what a program gives for a finding, where it could not have given anything else.

    The derivative of a sum, a name that nothing defines: such a program shows what is meant and proves nothing, so it
    is no claim.

    Parameters
    ----------
    shown : number or str

    Examples
    --------
    >>> illustrate("a0-demo", "half of a half", 0.25)
    shown  a0-demo  half of a half  0.25
    """
    value = shown if isinstance(shown, str) else f"{float(shown):.3g}"
    print(f"shown  {finding}  {statement}  {value}")


def difference(first: Numbers, second: Numbers) -> float:
    """Return the largest difference of the entries of two tensors of one shape.

    Examples
    --------
    >>> difference([1.0, 2.0], [1.0, 2.5])
    0.5
    """
    first, second = _tensors(first, second)
    return (first - second).abs().max().item()


@torch.no_grad()
def neighbours_matter(layer: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return how much the output of sample 0 changes when all other samples of x (N, ...) are replaced by zeros.

    0 for a normalization of each sample by itself; above 0 for one over the batch.

    Examples
    --------
    >>> neighbours_matter(torch.nn.LayerNorm(4), torch.arange(12.0).reshape(3, 4))
    0.0
    """
    alone = x.clone()
    alone[1:] = 0
    return (layer(x)[0] - layer(alone)[0]).abs().max().item()


def counts(
    finding: str,
    statement: str,
    model: nn.Module,
    kind: type[nn.Module],
    *,
    at_least: int | None = None,
    at_most: int | None = None,
) -> None:
    """Claim how many modules of one kind a model holds."""
    found = sum(isinstance(module, kind) for module in model.modules())
    check(f"erratum.{finding}", statement, found, at_least=at_least, at_most=at_most)


def stream_growth(block: Callable[[Tensor, int], Tensor], x: Tensor, depth: int) -> tuple[float, float]:
    """Return the ratios of the root mean square after ``depth`` blocks to before, of stream and of gradient.

    Parameters
    ----------
    block : callable
        ``block(x, index)`` to a tensor of the shape of x.
    x : torch.Tensor
        (N, d). The loss is the sum of the last stream times fixed random signs of x's own, so that its gradient at the
        last stream has root mean square 1.
    depth : int

    Examples
    --------
    >>> stream_growth(lambda x, index: 2 * x, torch.ones(2, 3), 3)
    (8.0, 8.0)
    """
    x = x.detach().requires_grad_()
    stream = x
    for index in range(depth):
        stream = block(stream, index)
    signs = torch.where(torch.arange(x.numel()).reshape(x.shape) % 2 == 0, 1.0, -1.0)
    (gradient,) = torch.autograd.grad((stream * signs).sum(), x)
    return (_rms(stream) / _rms(x)).item(), _rms(gradient).item()


def sums_drawn(edges: Iterable[Arrow]) -> int:
    """Return how many nodes of a drawing could be a sum: those with at least two arrows in.

    Parameters
    ----------
    edges : iterable of pairs
        (from, to) of each arrow, in any names.

    Examples
    --------
    >>> sums_drawn([("x", "F"), ("F", "+")]), sums_drawn([("x", "F"), ("F", "+"), ("x", "+")])
    (0, 1)
    """
    arrows_into = Counter(end for _, end in edges)
    return sum(arrows > 1 for arrows in arrows_into.values())


def ways(edges: Sequence[Arrow], start: Hashable, end: Hashable) -> list[tuple[Hashable, ...]]:
    """Return every way along the arrows of a drawing without loops, each as a tuple of the nodes that it passes.

    Examples
    --------
    >>> ways([("x", "F"), ("F", "+"), ("x", "+")], "x", "+")
    [('x', 'F', '+'), ('x', '+')]
    """
    if start == end:
        return [(end,)]
    return [(start, *rest) for first, then in edges if first == start for rest in ways(edges, then, end)]


def trained_on_digits(model: nn.Module, steps: int = 150, lr: float = 0.05) -> tuple[float, float]:
    """Train a classifier of the digits on batches of 64, and return its loss and its error in percent on all of them.

    Both are on the images that it was trained on, in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module
        (N, 64) float32 to logits (N, 10). It is changed.

    Examples
    --------
    >>> loss, error = trained_on_digits(torch.nn.Linear(64, 10))
    >>> error < 20
    True
    """
    x, y = load_digits()[:2]
    optimizer = torch.optim.SGD(model.train().parameters(), lr=lr, momentum=0.9)
    for rows in torch.randint(len(x), (steps, 64), generator=runtime.generator(1)):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        logits = model.eval()(x)
    return F.cross_entropy(logits, y).item(), 100 * (logits.argmax(1) != y).double().mean().item()


def _rms(x: Tensor) -> Tensor:
    return x.detach().square().mean().sqrt()


def _tensors(*values: Numbers) -> list[Tensor]:
    return [torch.as_tensor(value, dtype=torch.float64).detach() for value in values]
