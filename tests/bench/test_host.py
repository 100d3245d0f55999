"""What a call costs the processor: that all but the launch runs, and that it stays near what Python itself costs."""

import itertools

import pytest
import torch

from resnorm_lib import ops
from resnorm_lib.bench import host
from resnorm_lib.bench.operations import as_tuple
from resnorm_lib.ops import launch
from tests.ops.cases import gpu, needs_kernels

NOT_OURS = {"torch", "bare"}


@needs_kernels
def test_without_a_launch_everything_else_of_a_call_runs(monkeypatch):
    """The first call of each kernel would be Triton's, which compiles; the second launches what was kept."""
    launched = []
    monkeypatch.setattr(host.Nothing, "run", lambda *arguments: launched.append(len(arguments)))
    with host.without_launch():
        for name, (call, inputs) in host.calls(torch.device("cpu")).items():
            for _ in range(2):
                launched.clear()
                torch.autograd.grad(sum(y.sum() for y in as_tuple(call())), inputs)
            assert len(launched) >= (0 if name in NOT_OURS else 3), name  # forward, backward, sums of partial sums
    assert ops.kernels.mode() == "auto"


@pytest.mark.no_cover  # tracing slows the library's Python, and nothing of torch's
@needs_kernels
def test_a_call_costs_the_processor_a_few_times_what_any_function_of_autograd_does():
    """Of Python's floor we take 2.1 to 3 times on an idle machine; what a call asks once more shows as one more."""
    rows = host.measure(torch.device("cpu"), turns=9, repeats=20)
    assert {row["op"] for row in rows} == {*host.calls(torch.device("cpu"))}
    floor = {row["direction"]: row["ratio"] for row in rows if row["op"] == "bare"}
    worst = max(rows, key=lambda row: row["ratio"] / floor[row["direction"]])
    assert worst["ratio"] < 5 * floor[worst["direction"]], (worst, floor)


def described(kernel, arguments):
    """What the code that Triton compiles depends on, but for alignment and integers that it does not specialize."""
    free = kernel.kwargs["do_not_specialize"] if hasattr(kernel, "kwargs") else kernel.do_not_specialize
    return tuple(
        a.dtype if isinstance(a, torch.Tensor) else "free" if name in free and a is not None else a
        for name, a in zip(kernel.arg_names, arguments)
    )


@needs_kernels
@pytest.mark.parametrize("name", [name for name in host.calls(torch.device("cpu")) if name not in NOT_OURS])
def test_all_that_a_plan_launches_is_the_same_code(name, monkeypatch):
    """What a plan has compiled is run whatever comes: a None would be taken for a tensor, and one dtype for another."""
    seen = {}

    def note(plan, grid, index, arguments):
        seen.setdefault(id(plan), set()).add(described(plan.kernel, arguments))

    with host.without_launch():
        monkeypatch.setattr(launch.Plan, "_launch", note)
        for rows, wanted in itertools.product((1, 3), itertools.product((True, False), repeat=4)):
            call, inputs = host.calls(torch.device("cpu"), rows)[name]
            for x, want in zip(inputs, wanted):
                x.requires_grad_(want)
            ys = as_tuple(call())
            leaves = [x for x in inputs if x.requires_grad]
            for kept in (ys, ys[:1]) if leaves else ():  # of add + norm the gradient of y alone, too
                torch.autograd.grad(sum(y.sum() for y in kept), leaves, retain_graph=True, allow_unused=True)
        assert len(seen) > 3
        assert all(len(codes) == 1 for codes in seen.values())


def gradients(norm, x, parameters):
    inputs = [t.detach().requires_grad_() for t in (x, *parameters)]
    return torch.autograd.grad(norm(*inputs).sum(), inputs)


@gpu
@pytest.mark.parametrize("first", [ops.rms_norm, ops.layer_norm])
def test_what_is_kept_gives_what_triton_launches(first, monkeypatch):
    x, w, b = (torch.randn(s, device="cuda") for s in ((64, 1000), (1000,), (1000,)))
    norms = {ops.rms_norm: (w,), ops.layer_norm: (w, b)}
    launch.forget_plans()
    for norm in sorted(norms, key=lambda norm: norm is not first) * 2:
        kept = gradients(norm, x, norms[norm])
        with monkeypatch.context() as patch:
            patch.setattr(launch, "is_observed", lambda: True)
            assert all(torch.equal(a, b) for a, b in zip(kept, gradients(norm, x, norms[norm]), strict=True))


class Refuses:
    """A kernel of a Triton that takes other arguments."""

    function = packed_metadata = None

    def run(self):
        pass


@gpu
def test_a_triton_that_refuses_gets_its_own_launch(monkeypatch):
    monkeypatch.setattr(launch.Plan, "direct", True)
    x = torch.randn(64, 1000, device="cuda")
    wanted = ops.rms_norm(x)
    launch.forget_plans()
    with monkeypatch.context() as patch:
        patch.setattr(launch.Plan, "_launch_by_triton", lambda plan, grid, arguments: Refuses())
        ops.rms_norm(x)  # keeps what refuses
    assert torch.equal(ops.rms_norm(x), wanted)
    assert launch.Plan.direct is False
