"""How every norm behaves inside a program: dtypes, copies, autocast, compilation, layouts, repetition."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from resnorm_lib.norms import InstanceNorm
from tests.norms.cases import cases
from tests.reference.oracles import UNIT_ROUNDOFF, run, upstream


@cases()
@pytest.mark.parametrize("dtype", list(UNIT_ROUNDOFF), ids=str)
def test_outputs_and_gradients_keep_their_dtypes_and_shapes(case, dtype):
    module, inputs = case.build(dtype), case.inputs(dtype)
    y = case.build(dtype)(*inputs)
    assert y.dtype == dtype
    _, grads = run(module, inputs, torch.ones_like(y))
    tensors = {f"x{i}": x for i, x in enumerate(inputs)} | dict(module.named_parameters())
    for name, grad in grads.items():
        assert (grad.dtype, grad.shape) == (dtype, tensors[name].shape), name


@cases()
def test_a_copy_a_pickle_and_a_state_dict_give_the_same_module(case):
    module, inputs = case.build(torch.float32), case.inputs(torch.float32)
    twins = [copy.deepcopy(module), case.make()]
    twins[1].load_state_dict(module.state_dict())
    if "parametrized" not in case.traits:  # torch saves those through state dicts alone
        twins.append(pickle.loads(pickle.dumps(module)))
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    twins.append(case.make())
    twins[-1].load_state_dict(torch.load(file, weights_only=True))
    y = module(*inputs)
    for twin in twins:
        assert torch.equal(twin(*inputs), y)
        assert repr(twin) == repr(module)


@cases(without=("parametrized",))
def test_resetting_every_part_puts_back_the_first_state(case):
    """A loader that first builds modules without memory does so, part by part in the order of modules()."""
    module, start = case.build(torch.float32), case.make()
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    torch.testing.assert_close(module.state_dict(), start.state_dict(), rtol=0, atol=0)


@cases()
def test_two_runs_have_the_same_bits(case):
    inputs = case.inputs(torch.float32, samples=33)
    runs = []
    for _ in range(2):
        module = case.build(torch.float32)
        dy = upstream(case.build(torch.float32)(*inputs))
        runs.append(run(module, inputs, dy))
    assert torch.equal(runs[0][0], runs[1][0])
    assert all(torch.equal(grad, runs[1][1][name]) for name, grad in runs[0][1].items())


@cases(without=("matmul",))
def test_autocast_leaves_the_bits_alone(case):
    module, inputs = case.build(torch.float32), case.inputs(torch.float32)
    y = copy.deepcopy(module)(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(*inputs), y)


@cases(without=("matmul",))
def test_bfloat16_activations_meet_float32_parameters_without_a_warning(case):
    """This is the usual state under autocast. Parameters are not rounded: the output is, once."""
    module, inputs = case.build(torch.float32), case.inputs(torch.bfloat16)
    exact = copy.deepcopy(module).double()(*[x.double() for x in inputs])
    with torch.autocast("cpu", torch.bfloat16):
        y, grads = run(module, inputs, torch.ones_like(exact, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert ((y.double() - exact).abs() <= UNIT_ROUNDOFF[torch.bfloat16] * exact.abs() + 1e-4).all()
    assert all(grad.dtype == torch.float32 for name, grad in grads.items() if not name.startswith("x"))


@cases("matmul")
def test_autocast_runs_the_matrix_products_in_low_precision(case):
    module, inputs = case.build(torch.float32), case.inputs(torch.float32)
    y = module(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        low = module(*inputs)
    torch.testing.assert_close(low.float(), y, rtol=0.05, atol=0.05)


@cases()
@pytest.mark.no_cover
def test_compiles_into_one_graph(case):
    torch._dynamo.reset()
    eager, inputs = case.build(torch.float32), case.inputs(torch.float32)
    compiled = torch.compile(copy.deepcopy(eager), fullgraph=True, backend="aot_eager")
    dy = upstream(case.build(torch.float32)(*inputs))
    (y, grads), (y_compiled, grads_compiled) = run(eager, inputs, dy), run(compiled, inputs, dy)
    torch.testing.assert_close(y_compiled, y)
    for name, grad in grads.items():
        torch.testing.assert_close(grads_compiled.get(name, grads_compiled.get(f"_orig_mod.{name}")), grad)
    for own, other in zip(eager.state_dict().values(), compiled.state_dict().values(), strict=True):
        torch.testing.assert_close(other, own)


@cases("channels")
def test_memory_layout_changes_nothing_but_the_layout(case):
    shape = (*case.shapes[0][:2], 3, 4)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3)) + 1e4
    last = x.contiguous(memory_format=torch.channels_last)
    module = case.build(torch.float32)
    y, y_last = copy.deepcopy(module)(x), copy.deepcopy(module)(last)
    assert y_last.is_contiguous(memory_format=torch.channels_last) or case.name.startswith("instance")
    exact = copy.deepcopy(module).double()(x.double())
    for computed in (y, y_last):
        assert (computed.double() - exact).abs().max() < 0.05  # 13 u kappa (1 + |y|); one-pass variance gives 100s


@cases("channels", where=lambda case: not case.name.startswith("instance"))  # torch's have the default layout too
@pytest.mark.parametrize("twice", [False, True])
def test_a_gradient_has_the_layout_of_the_input(case, twice):
    """So that the convolution before the norm, which is channels-last, need not copy it."""
    start = torch.randn(*case.shapes[0][:2], 3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = start.contiguous(memory_format=layout).requires_grad_()
        (gradient,) = torch.autograd.grad((case.build()(x) ** 3).sum(), x, create_graph=True)
        if twice:
            (gradient,) = torch.autograd.grad((gradient**2).sum(), x)
        assert twice or gradient.is_contiguous(memory_format=layout)
        found.append(gradient)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("options", [{}, {"affine": True}, {"affine": True, "track_running_stats": True}], ids=str)
@pytest.mark.parametrize("axes", [2, 3])
def test_instance_norm_of_channels_last_images_has_the_numbers_and_the_layout_of_torchs(axes, options):
    """Torch writes its output in the default layout and its gradient in that of the input (2.13, on a processor)."""
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[axes]
    start = torch.randn(3, 6, *(5, 4, 2)[:axes], generator=torch.Generator().manual_seed(3))
    ours, theirs = InstanceNorm(6, **options), {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[axes](6, **options)

    def output_and_gradient(norm):
        x = start.contiguous(memory_format=layout).requires_grad_()
        y = norm(x)
        return y, torch.autograd.grad((y**3).sum(), x)[0]

    for found, expected in zip(output_and_gradient(ours), output_and_gradient(theirs), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert found.stride() == expected.stride()


def test_instance_norm_by_running_statistics_keeps_channels_last():
    """It is then a scale and a shift for each channel, as batch normalization is; torch's layer copies the images."""
    x = torch.randn(3, 6, 5, 4, generator=torch.Generator().manual_seed(3))
    norm = InstanceNorm(6, track_running_stats=True)
    norm(x)
    y = norm.eval()(x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, norm(x), rtol=0, atol=0)


@cases(without=("matmul",))
def test_strided_inputs_are_read_where_they_are(case):
    module, (x,) = case.build(torch.float32), case.inputs(torch.float32)
    strided = torch.stack([x, torch.full_like(x, torch.nan)], dim=-1)[..., 0]
    assert not strided.is_contiguous()
    torch.testing.assert_close(copy.deepcopy(module)(strided), module(x))
