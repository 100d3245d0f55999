"""What every residual scheme promises, whichever it is: shapes, gradients, copies, compilation, errors."""

import copy
import io
import pickle
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from resnorm_lib import residual
from resnorm_lib.models import DecoderLM, cifar_resnet
from resnorm_lib.norms import NORMS, RMSNorm
from resnorm_lib.residual import (
    SCHEMES,
    BranchPosition,
    Residual,
    ResidualStack,
    Scheme,
    Stack,
    feature_norm,
    make_scheme,
    registry,
    residual_add,
)
from resnorm_lib.residual.earlier_layers import Concat
from resnorm_lib.residual.placement import PreNorm
from resnorm_lib.residual.scaling import LayerScale
from resnorm_lib.residual.scheme import identity
from tests.residual.tools import Valued, disturb, draw, linear, make_stack, two_layers

CARRIES_STATE = [name for name, scheme in SCHEMES.items() if scheme.carries_state]
PER_BLOCK = [name for name in SCHEMES if name not in CARRIES_STATE]


@st.composite
def broadcastable_pairs(draw_from):
    """Two shapes that torch would add without a word, though they differ."""
    shape = draw_from(st.lists(st.integers(2, 4), min_size=1, max_size=4))
    other = list(shape)
    for axis in draw_from(st.sets(st.integers(0, len(shape) - 1), min_size=1)):
        other[axis] = 1
    other = other[draw_from(st.integers(0, len(shape) - 1)) :] if draw_from(st.booleans()) else other
    return (tuple(shape), tuple(other)) if draw_from(st.booleans()) else (tuple(other), tuple(shape))


@settings(deadline=None)
@given(broadcastable_pairs())
def test_a_residual_add_never_broadcasts(pair):
    stream, branch = torch.zeros(pair[0]), torch.zeros(pair[1])
    assert (stream + branch).numel() > 0  # torch itself sees nothing wrong
    with pytest.raises(ValueError, match="never broadcasts"):
        residual_add(stream, branch)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 3), (2, 0, 3), (1, 1, 1, 1)])
def test_equal_shapes_add_exactly(shape):
    stream, branch = draw(*shape), draw(*shape, seed=1)
    assert torch.equal(residual_add(stream, branch), stream + branch)


def test_the_message_names_both_shapes():
    with pytest.raises(ValueError, match=r"branch has shape \(2, 1\), but the stream has \(2, 3\)"):
        residual_add(torch.zeros(2, 3), torch.zeros(2, 1))


def test_rezero_is_the_identity_at_the_start_bit_for_bit():
    x = draw(5, 8, dtype=torch.float32) * torch.logspace(-30, 30, 8)
    block = Residual(nn.Linear(8, 8), 8, scheme="rezero", norm="none")
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_gradients_are_those_of_the_forward_pass(scheme):
    stack = disturb(make_stack(scheme, dim=3, blocks=3)).eval()
    names = [name for name, _ in stack.named_parameters()]

    def run(x, *parameters):
        return torch.func.functional_call(stack, dict(zip(names, parameters, strict=True)), (x,))

    inputs = (draw(2, 3).requires_grad_(), *stack.parameters())
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_second_derivatives_are_those_of_the_gradient(scheme):
    stack = disturb(make_stack(scheme, dim=3, blocks=2)).eval()
    assert torch.autograd.gradgradcheck(stack, draw(2, 3).requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_double(scheme, dtype):
    """Four blocks of about eight operations each: within 32 roundings of the largest entry."""
    stack, x = disturb(make_stack(scheme)).eval(), draw(3, 4)
    expected = stack(x)
    low = stack.to(dtype)(x.to(dtype))
    assert low.dtype == dtype
    bound = 32 * torch.finfo(dtype).eps * expected.abs().max().item()
    torch.testing.assert_close(low.double(), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_parameter_learns(scheme):
    stack = disturb(make_stack(scheme))
    stack(draw(5, 4)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in stack.parameters())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_copies_and_files_give_the_same_stack(scheme):
    stack, x = disturb(make_stack(scheme)).eval(), draw(3, 4)
    twin = disturb(make_stack(scheme), seed=99).eval()
    twin.load_state_dict(stack.state_dict())
    file = io.BytesIO()
    torch.save(stack, file)
    file.seek(0)
    copies = (copy.deepcopy(stack), pickle.loads(pickle.dumps(stack)), torch.load(file, weights_only=False), twin)
    assert all(torch.equal(other(x), stack(x)) for other in copies)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.no_cover
def test_compiles_without_a_break(scheme):
    torch._dynamo.reset()
    stack, x = disturb(make_stack(scheme, blocks=2)).eval(), draw(3, 4)
    torch.testing.assert_close(torch.compile(stack, fullgraph=True, backend="aot_eager")(x), stack(x))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_empty_batch_stays_empty(scheme):
    stack = make_stack(scheme).eval()
    assert stack(draw(0, 4)).shape == (0, stack.out_dim)


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "plain"])
def test_a_branch_of_another_width_raises(scheme):
    stack = make_stack(scheme)
    stack[0].branch = linear(4, writes=1)
    if scheme == "value_residual":
        stack[0].scheme.initialise(stack[0].branch)  # which has no values any more
    with pytest.raises(ValueError, match=r"branch has shape \(3, 1\), but the stream has \(3, 4\)"):
        stack(draw(3, 4))


@pytest.mark.parametrize("scheme", PER_BLOCK)
def test_blocks_called_by_hand_are_the_stack(scheme):
    """Where the state is x, a stack is nothing but its blocks in a row, between opening and closing."""
    stack, x = disturb(make_stack(scheme)).eval(), draw(3, 4)
    y = stack.open(x)
    for block in stack:
        y = block(y)
    assert torch.equal(stack.close(y), stack(x))


@pytest.mark.parametrize("scheme", CARRIES_STATE)
def test_a_lone_block_says_that_it_needs_a_stack(scheme):
    block = Residual(linear(2), 2, scheme=scheme, position=BranchPosition(index=0, num_branches=2))
    with pytest.raises(ValueError, match="put the branches into a ResidualStack"):
        block(torch.zeros(2, 2))


@pytest.mark.parametrize(
    "scheme", [name for name in SCHEMES if name not in ("plain", "post_norm", "deep_norm", "mix_ln", "admin")]
)
def test_autocast_leaves_the_stream_in_single_precision(scheme):
    """Where no norm acts on the stream itself, what 64 blocks add up must not be rounded to 8 bits each time."""
    stack, seen = disturb(make_stack(scheme).float()), []
    for block in stack:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.autocast("cpu", torch.bfloat16):
        stack(draw(3, 4, dtype=torch.float32))
    streams = [
        state if isinstance(state, torch.Tensor) else state[-1 if scheme == "resi_dual" else 0] for state in seen
    ]
    assert {stream.dtype for stream in streams} == {torch.float32}


def test_a_slice_of_a_stack_runs_a_part_of_it():
    stack, x = make_stack("pre_norm"), draw(3, 4)
    assert torch.equal(stack[2:](stack[:2](x)), stack(x))
    assert type(stack[1:3]) is Stack
    assert len(stack[1:3]) == 2
    assert torch.equal(stack[:0](x), x)


def test_hooks_on_blocks_see_the_stream():
    stack, seen = make_stack("pre_norm"), []
    for block in stack:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    y = stack(draw(3, 4))
    assert len(seen) == 4
    assert torch.equal(seen[-1], y)


@pytest.mark.parametrize("norm", ["layer", "rms", "scale"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_norm_of_pixels_keeps_the_layout_of_an_image(norm, layout):
    x = draw(2, 8, 5, 3).contiguous(memory_format=layout)
    y = feature_norm(norm, 8, 1).double()(x)
    assert y.is_contiguous(memory_format=layout)
    torch.testing.assert_close(y.movedim(1, -1), feature_norm(norm, 8, -1).double()(x.movedim(1, -1)))


@pytest.mark.parametrize("scheme", ["pre_norm", "post_norm", "res_post_norm", "rezero", "highway", "hyper_connections"])
def test_a_branch_that_returns_a_tuple_is_told_apart(scheme):
    class Attention(nn.Module):
        def forward(self, x):
            return x, x.mean()

    stack = ResidualStack([Attention()], 4, scheme)
    with pytest.raises(ValueError, match="the branch returned a tuple, but it must return a tensor"):
        stack(torch.zeros(2, 4))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("axis", [-1, 1])
def test_a_norm_acts_on_the_axis_that_it_is_told(norm, axis):
    """Permuting everything but the features permutes the output: no norm mixes up the axes."""
    x = draw(4, 64, 6) if axis == 1 else draw(4, 6, 64)
    if axis == -1 and norm == "instance":
        with pytest.raises(ValueError, match="averaged over nothing"):
            feature_norm(norm, 64, axis)
        return
    layer = feature_norm(norm, 64, axis).double()
    if axis == -1 and norm not in ("batch", "batch_renorm", "ghost_batch"):
        torch.testing.assert_close(layer(x)[:, :2], layer(x[:, :2]))  # no token sees another
    assert layer(x).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": "pre-norm"}, r"scheme is 'pre-norm', but it must be one of .*'pre_norm'.* Did you mean 'pre_norm'"),
        ({"norm": "layr"}, r"'layr', but it must be one of .*Did you mean 'layer'"),
        ({"dim": 0}, "dim is 0, but it must be at least 1"),
        ({"dim": 2.5}, "dim is 2.5, but it must be an integer"),
        ({"num_branches": -1}, "num_branches is -1, but it must be at least 1"),
        ({"num_branches": True}, "num_branches is True, but it must be an integer"),
        ({"branch": torch.relu}, "branch is .*, but it must be an nn.Module"),
        ({"position": 3}, "position is 3, but it must be a BranchPosition"),
        ({"slope": 0.1}, "the scheme 'pre_norm' has no option 'slope'; its options: none\\.$"),
        ({"eps": 1e-5}, r"options: none. It is one of norms, .*: norm=partial\(RMSNorm, eps=\.\.\.\)\.$"),
        ({"scheme": "layer_scale", "inital": 0.1}, "has no option 'inital'; its options: initial"),
        (
            {"scheme": "ln_scaling", "num_branches": 4},
            "depends on where the block stands: give position=",
        ),
        ({"num_branches": 4, "position": BranchPosition()}, "num_branches is 4, but position brings its own"),
        ({"scheme": nn.Linear}, "scheme is .*, but it must be a name, a subclass of Scheme or a partial of one"),
        ({"scheme": PreNorm, "slope": 0.1}, "the scheme 'PreNorm' has no option 'slope'; its options: none"),
        ({"scheme": "sub_ln", "num_branches": 1}, "num_branches is 1, but sub_ln .* L must be 2 or more"),
        ({"scheme": 3}, "scheme is 3, but it must be a name, a subclass of Scheme or a partial of one"),
        ({"scheme": lambda *given: PreNorm(*given)}, "a partial of one. A function hides the class, .* write partial"),
        ({"scheme": partial(lambda *given: PreNorm(*given))}, "a partial of one. A function hides the class"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        Residual(**({"branch": nn.Linear(4, 4), "dim": 4} | arguments))


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("mix_ln", {"share": 1.5}, "share is 1.5, but it must be between 0 and 1"),
        ("layer_scale", {"initial": "small"}, "initial is 'small', but it must be a number"),
        ("stochastic_depth", {"survival": -0.1}, "survival is -0.1, but it must be between 0 and 1"),
        ("stochastic_depth", {"per_sample": 1}, "per_sample is 1, but it must be True or False"),
        ("highway", {"bias": None}, "bias is None, but it must be a number"),
        ("gru", {"bias": "2"}, "bias is '2', but it must be a number"),
        ("concat", {"growth": 0}, "growth is 0, but it must be at least 1"),
        ("value_residual", {"initial": []}, "initial is .*, but it must be a number"),
        ("reversible", {"save_memory": "yes"}, "save_memory is 'yes', but it must be True or False"),
        ("hyper_connections", {"streams": 0}, "streams is 0, but it must be at least 1"),
        ("stochastic_hyper_connections", {"dynamic": None}, "dynamic is None, but it must be True or False"),
    ],
)
def test_wrong_options_say_what_to_do(scheme, options, message):
    with pytest.raises(ValueError, match=message):
        make_scheme(scheme, 4, position=BranchPosition(index=0, num_branches=4), **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": 4, "num_branches": 4}, "index is 4, but it counts from 0, so that it must be less than 4"),
        ({"index": -1}, "index is -1, but it must be at least 0"),
        ({"num_branches": 0}, "num_branches is 0, but it must be at least 1"),
        ({"branches_per_layer": 0}, "branches_per_layer is 0, but it must be at least 1"),
        ({"stage_index": 2, "stage_branches": 2}, "stage_index is 2, but it counts from 0"),
        ({"feature_axis": 2}, "feature_axis is 2, but it must be -1 .tokens., 1 .images. or None"),
        ({"role": "coder"}, "role is 'coder', but it must be one of"),
        ({"role": "encoder"}, "other_depth is 0, but it must be at least 1"),
    ],
)
def test_a_wrong_position_says_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        BranchPosition(**arguments)


def test_a_stack_needs_branches_and_a_known_scheme():
    with pytest.raises(ValueError, match="branches is empty, but a stack needs at least one"):
        ResidualStack([], 4)
    with pytest.raises(ValueError, match="scheme is 'prenorm', but it must be one of"):
        ResidualStack([linear(4)], 4, "prenorm")
    with pytest.raises(ValueError, match="position is 1, but it must be a BranchPosition"):
        ResidualStack([linear(4)], 4, position=1)
    with pytest.raises(ValueError, match="branches_per_layer is 0"):
        ResidualStack([linear(4)], 4, branches_per_layer=0)


def test_a_branch_that_cannot_be_initialised_says_what_it_lacks():
    hidden = nn.MultiheadAttention(4, 2)
    for scheme, message in (
        ("deep_norm", r"MultiheadAttention has no scaled_weights\(\)"),
        ("sub_ln", "MultiheadAttention has no output_projection"),
    ):
        with pytest.raises(ValueError, match=message):
            Residual(hidden, 4, scheme, num_branches=4)
    with pytest.raises(ValueError, match="Linear has no inner_norm"):
        Residual(linear(4), 4, "sub_ln", num_branches=4)
    with pytest.raises(ValueError, match="Tanh has no linear map"):
        Residual(nn.Tanh(), 4, "sub_ln", num_branches=4)


def test_a_new_scheme_is_one_class_and_one_line(monkeypatch):
    """With no more than this, every network has it."""

    class Halved(Scheme):
        def __init__(self, dim, norm, position, *, share=0.5):
            super().__init__(dim, norm, position)
            self.share = share

        def forward(self, x, branch, shortcut=identity):
            return residual_add(shortcut(x), self.share * branch(self.norm(x)))

    monkeypatch.setattr(registry, "SCHEMES", SCHEMES | {"halved": Halved})
    f, x = linear(4), draw(3, 4)
    torch.testing.assert_close(Residual(f, 4, "halved", norm="none", share=0.25)(x), x + f(x) / 4)
    assert cifar_resnet(8, scheme="halved")(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    assert DecoderLM(5, 8, depth=1, num_heads=2, context_length=4, scheme="halved", share=0.1)(
        torch.zeros(1, 4, dtype=torch.long)
    ).shape == (1, 4, 5)


@pytest.mark.parametrize(
    "scheme", ["deep_norm", "sub_ln", "depth_scaled", "complete_p", "fixup", "t_fixup", "layer_scale"]
)
def test_a_scheme_that_depends_on_the_number_of_branches_asks_for_it(scheme):
    with pytest.raises(ValueError, match="num_branches is None, but this scheme depends on the number of branches"):
        Residual(two_layers(4), 4, scheme)


def test_a_scheme_may_be_a_name_a_class_or_a_partial_of_one():
    x, f = draw(3, 4), linear(4)
    for scheme in (LayerScale, partial(LayerScale, initial=0.3)):
        named = Residual(f, 4, "layer_scale", num_branches=2, **getattr(scheme, "keywords", {})).double()
        assert torch.equal(Residual(f, 4, scheme, num_branches=2).double()(x), named(x))
    assert ResidualStack([linear(4, writes=3)], 4, partial(Concat, growth=3)).out_dim == 7


def test_a_norm_may_be_a_name_a_class_a_callable_or_none():
    for norm, kind in ((nn.LayerNorm, nn.LayerNorm), (partial(RMSNorm, eps=1e-6), RMSNorm), (None, nn.Identity)):
        assert type(Residual(nn.Linear(4, 4), 4, norm=norm).scheme.norm) is kind
    pixels = BranchPosition(feature_axis=1)
    x = draw(2, 4, 3, 3)
    by_class = Residual(nn.Identity(), 4, norm=nn.LayerNorm, position=pixels).double()
    assert torch.equal(by_class(x), Residual(nn.Identity(), 4, norm="layer", position=pixels).double()(x))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_device_and_dtype_hold_for_every_parameter_of_a_scheme(scheme):
    branch = Valued(4, 0) if scheme == "value_residual" else two_layers(4, writes=3 if scheme == "concat" else 4)
    options = {"growth": 3} if scheme == "concat" else {}
    known = BranchPosition(index=0, num_branches=2)
    block = Residual(branch, 4, scheme, position=known, device="meta", dtype=torch.bfloat16, **options)
    for parameter in block.scheme.parameters():
        assert (parameter.device.type, parameter.dtype) == ("meta", torch.bfloat16)


def test_the_documentation_has_a_row_for_every_scheme():
    for name, scheme in SCHEMES.items():
        row = next(line for line in residual.__doc__.splitlines() if line.startswith(f"``{name}`` "))
        assert f":math:`{scheme.formula}`" in row
        assert row.endswith(scheme.identity_path)
        assert "identity path" in scheme.__doc__.lower()


def test_value_residual_without_values_is_refused():
    with pytest.raises(ValueError, match="it would be pre_norm"):
        ResidualStack([two_layers(4)], 4, "value_residual")
