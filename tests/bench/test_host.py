"""What a call costs the processor: that all but the launch runs, and that it stays within three times torch's."""

import pytest
import torch

from resnorm_lib import ops
from resnorm_lib.bench import host
from resnorm_lib.bench.operations import as_tuple
from resnorm_lib.ops import launch
from tests.ops.cases import gpu, needs_kernels


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
            assert len(launched) >= (0 if name == "torch" else 3), name  # forward, backward, sums of partial sums
    assert ops.kernels.mode() == "auto"


@pytest.mark.no_cover  # tracing slows the library's Python, and nothing of torch's
@needs_kernels
def test_a_call_costs_the_processor_at_most_a_few_times_what_torch_does():
    """Loosely: the record has the goal, and the times of an idle machine."""
    rows = host.measure(torch.device("cpu"), turns=9, repeats=20)
    assert {row["op"] for row in rows} == {*host.calls(torch.device("cpu"))}
    worst = max(rows, key=lambda row: row["ratio"])
    assert worst["ratio"] < 9, worst


@needs_kernels
def test_code_for_arguments_that_are_none_is_not_run_for_tensors():
    """To Triton a None is a constant: the sum of one gradient and the sums of two are different code."""
    with host.without_launch():
        plan, _ = launch._sum_plan(8, torch.float32, torch.float32)
        for count in (1, 2):
            launch.sum_programs(torch.zeros(count, 3, 8), torch.float32, (True, count == 2))
        assert len(plan.kept) == 2


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
