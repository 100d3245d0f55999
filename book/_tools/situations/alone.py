"""The situations that one process can try. Each raises an AssertionError where the numbers are wrong."""

import copy
import pickle
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from book._tools.situations.subjects import BLOCKS, Branch, Subject, numbers, same
from resnorm_lib.residual import Stack, fused


class Times(nn.Module):
    """Multiply by a fixed mask."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, x):
        return self.mask * x


def dropout(subject: Subject) -> None:
    """Dropout in the branch: the numbers of a branch that multiplies by the same masks."""
    model = subject.build(make=lambda *width, **o: Branch(*width, between=lambda: nn.Dropout(0.3), **o))
    twin, masks = copy.deepcopy(model), []
    for block in model:
        dropped = block.branch[3].train()
        dropped.register_forward_hook(lambda module, args, y: masks.append((y / args[0]).detach()))
    found = numbers(model, subject.x())
    for block, mask in zip(twin, masks):
        block.branch[3] = Times(mask)
    same(found, numbers(twin, subject.x()))


def in_place(subject: Subject) -> None:
    """A branch whose first operation writes in place: the numbers of one that does not."""

    def first(inplace):
        return subject.build(make=lambda *width, **options: Branch(*width, first=lambda: nn.ReLU(inplace), **options))

    same(numbers(first(True), subject.x()), numbers(first(False), subject.x()))


def in_place_without_norm(subject: Subject) -> None:
    """The same where no norm makes a tensor of its own.

    ``plain``, which has no shortcut, refuses it on purpose: the stream belongs to whoever hands it in, and a branch
    that fits ``plain`` must fit the schemes with which it is compared.
    """
    in_place(Subject(subject.name, subject.kind, subject.scheme, "none"))


def shared(subject: Subject) -> None:
    """One branch in every block: its gradient is the sum of those that separate copies of it get."""
    branches = []

    def one(reads, writes, **options):
        branches.append(Branch(reads, writes, **options))
        return branches[0]

    model = subject.build(make=one)
    twin = copy.deepcopy(model)
    for block in twin:
        block.branch = copy.deepcopy(block.branch)
    found, expected = numbers(model, subject.x()), numbers(twin, subject.x())
    same({"output": found["output"]}, {"output": expected["output"]})
    for name, parameter in model[0].branch.named_parameters():
        same({name: parameter.grad}, {name: sum(block.branch.get_parameter(name).grad for block in twin)})


def meta_device(subject: Subject) -> None:
    """Built without memory, then ``to_empty`` and ``reset_parameters``: nothing is left that was never written."""
    with torch.device("meta"):
        model = subject.build()
    model.to_empty(device="cpu")
    for tensor in model.state_dict(keep_vars=True).values():
        tensor.data.fill_(-999)
    model.apply(lambda module: module.reset_parameters() if hasattr(module, "reset_parameters") else None)
    assert all((tensor != -999).all() for tensor in model.state_dict().values()), "something was not reset"
    model.load_state_dict(subject.build().state_dict())
    same(numbers(model, subject.x()), numbers(subject.build(), subject.x()))


def copies(subject: Subject) -> None:
    """``copy.deepcopy`` and pickle, of a stack that has run: the same numbers afterwards."""
    model = subject.build()
    numbers(model, subject.x())
    model.zero_grad()
    twins = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    expected = numbers(model, subject.x(1))
    for twin in twins:
        same(numbers(twin, subject.x(1)), expected)


def calls(model: Stack, x: Tensor, part: type, watch: Callable) -> int:
    """Return how often modules of a class are called in one pass; ``watch`` puts something into each."""
    seen = []
    for module in (module for module in model.modules() if type(module) is part):
        watch(module, lambda: seen.append(part))
    model(x)
    return len(seen)


def patched(subject: Subject) -> None:
    """A ``forward`` put into one module, or into its class, is called as often as before, on the way for a GPU too."""

    def replace(module, count):
        whole = module.forward
        module.forward = lambda *a, **k: count() or whole(*a, **k)

    def hook(module, count):
        module.register_forward_hook(lambda *_: count())

    block = subject.build()[1]
    for part in {type(module) for module in (block, block.scheme, *block.scheme.children())}:
        expected = calls(subject.build(), subject.x(), part, hook)
        with mock.patch.object(fused, "uses_kernels", return_value=True):
            found = calls(subject.build(), subject.x(), part, replace), calls_of_class(subject, part)
        assert found == (expected, expected), f"{part.__name__} was called {found} times, not {expected}"


def calls_of_class(subject: Subject, part: type) -> int:
    """Return how often modules of a class are called in one pass, by a ``forward`` put into where they have it from."""
    seen, owner = [], next(base for base in part.__mro__ if "forward" in vars(base))
    whole, model = owner.forward, subject.build()

    def forward(module, *given, **more):
        seen.extend([part] * (type(module) is part))
        return whole(module, *given, **more)

    with mock.patch.object(owner, "forward", forward):
        model(subject.x())
    return len(seen)


def export(subject: Subject) -> None:
    """``torch.export`` for evaluation with a batch of any size."""
    model = subject.build().eval()
    exported = torch.export.export(model, (subject.x(),), dynamic_shapes=({0: torch.export.Dim("rows")},)).module()
    for rows in (2, 9):
        same({"output": exported(subject.x(1, rows))}, {"output": model(subject.x(1, rows))})


def export_lengths(subject: Subject) -> None:
    """The same with a sequence (or an image) of any length too."""
    model, axis = subject.build().eval(), 2 if subject.kind == "norm" else 1
    free = {0: torch.export.Dim("rows"), axis: torch.export.Dim("length")}
    exported = torch.export.export(model, (subject.x(),), dynamic_shapes=(free,)).module()
    for rows, length in ((2, 5), (9, 2)):
        x = subject.x(1, rows, length)
        same({"output": exported(x)}, {"output": model(x)})


def evaluation_row_by_row(subject: Subject) -> None:
    """Evaluation, after a step of training: a row alone has the output that it has in the batch."""
    model, x = subject.build().train(), subject.x()
    model(x)
    whole = model.eval()(x)
    for row in range(len(x)):
        same({"output": model(x[row : row + 1])}, {"output": whole[row : row + 1]})


def training_and_evaluation(subject: Subject) -> None:
    """Training mode and evaluation mode give the same numbers, outputs and gradients."""
    training, evaluation = (numbers(subject.build().train(mode), subject.x()) for mode in (True, False))
    same(training, evaluation)


def offloaded(subject: Subject) -> None:
    """Offloading: each module's own parameters arrive when it is called and leave afterwards, in evaluation."""
    model = subject.build().eval()
    expected = model(subject.x()).detach()
    for module in model.modules():
        own = {name: parameter.detach() for name, parameter in module.named_parameters(recurse=False)}

        def place(module, device, own=own):
            module._parameters.update((name, nn.Parameter(value.to(device))) for name, value in own.items())

        place(module, "meta")
        module.register_forward_pre_hook(lambda module, args, place=place: place(module, "cpu"))
        module.register_forward_hook(lambda module, args, y, place=place: place(module, "meta"))
    same({"output": model(subject.x()).detach()}, {"output": expected})


def autocast(subject: Subject) -> None:
    """bfloat16 by autocast: within what two maps a block can lose, 8 bits each, relative to the largest entry."""
    expected = subject.build()(subject.x()).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = subject.build().float()(subject.x().float()).float()
    bound = 4 * BLOCKS * 2**-8 * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=bound)


def functional(subject: Subject) -> None:
    """``torch.func``, in evaluation: vmap of grad gives the gradient of each sample, jvp agrees with the gradient."""
    model, x = subject.build().eval(), subject.x()
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(parameters, row):
        return functional_call(model, parameters, (row[None],)).square().sum()

    each = vmap(grad(loss), (None, 0))(parameters, x)
    last = grad(loss)(parameters, x[-1])
    same({name: value[-1] for name, value in each.items()}, last)
    direction = subject.x(1)
    slope = jvp(model, (x,), (direction,))[1]
    y = model(x.requires_grad_())
    weights = y.detach().cos()
    (back,) = torch.autograd.grad(y, x, weights)
    torch.testing.assert_close((slope * weights).sum(), (back * direction).sum())


def hooks(subject: Subject) -> None:
    """Hooks on every module, forward and backward: all are called, norms and branches too, and change no number."""
    model, forward, backward = subject.build(), set(), set()
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: forward.add(module))
        module.register_full_backward_hook(lambda module, *_: backward.add(module))
    same(numbers(model, subject.x()), numbers(subject.build(), subject.x()))
    silent = nn.Identity | nn.ModuleList | nn.ModuleDict  # the norm of who has none, and what only holds others
    missed = [
        name for name, part in model.named_modules() if part not in forward & backward and not isinstance(part, silent)
    ]
    assert not missed, f"a hook was not called, of {', '.join(missed)}"
