"""What a call costs the processor: that all but the launch runs, and that it stays within three times torch's."""

import torch

from resnorm_lib import ops
from resnorm_lib.bench import host
from resnorm_lib.ops import launch
from tests.ops.cases import gpu, needs_kernels


@needs_kernels
def test_without_a_launch_everything_else_of_a_call_runs(monkeypatch):
    """The first call of each kernel would be Triton's, which compiles; the second launches what was kept."""
    launched = []
    monkeypatch.setattr(host.Nothing, "__call__", lambda self, *arguments, stream: launched.append(len(arguments)))
    with host.without_launch():
        for name, (call, inputs) in host.calls(torch.device("cpu")).items():
            for _ in range(2):
                launched.clear()
                torch.autograd.grad(sum(y.sum() for y in as_tuple(call())), inputs)
            assert len(launched) >= (0 if name == "torch" else 3), name  # forward, backward, sums of partial sums
    assert ops.kernels.mode() == "auto"


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


@needs_kernels
def test_a_call_costs_the_processor_at_most_a_few_times_what_torch_does():
    """Loosely: the record has the goal, and the times of an idle machine."""
    rows = host.measure(torch.device("cpu"), turns=9, repeats=20)
    assert {row["op"] for row in rows} == {*host.calls(torch.device("cpu"))}
    worst = max(rows, key=lambda row: row["ratio"])
    assert worst["ratio"] < 15, worst


@gpu
def test_what_is_launched_at_once_is_what_triton_launches(monkeypatch):
    x, w, b = (torch.randn(s, device="cuda") for s in ((64, 1000), (1000,), (1000,)))
    ops.layer_norm(x, w, b)
    at_once = ops.layer_norm(x, w, b)
    monkeypatch.setattr(launch.Plan, "direct", False)
    assert torch.equal(at_once, ops.layer_norm(x, w, b))


class Refuses:
    """A kernel of a Triton that takes other arguments."""

    def __getitem__(self, grid):
        raise TypeError("other arguments than these")


@gpu
def test_a_triton_that_refuses_gets_its_own_launch(monkeypatch):
    monkeypatch.setattr(launch.Plan, "direct", True)
    x = torch.randn(64, 1000, device="cuda")
    wanted = ops.rms_norm(x)
    with monkeypatch.context() as patch:
        patch.setattr(launch.Plan, "_launch_by_triton", lambda plan, grid, arguments: Refuses())
        with launch.forced():
            ops.rms_norm(x)  # keeps what refuses
            patch.undo()
            assert torch.equal(ops.rms_norm(x), wanted)
    assert not launch.Plan.direct
