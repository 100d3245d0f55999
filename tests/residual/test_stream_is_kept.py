"""What others do to a block: branches that write in place, loops of one's own, patched instances, weight decay."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

from resnorm_lib.norms import LayerNorm
from resnorm_lib.residual import SCHEMES, Residual, ResidualStack, branch_widths, fused
from resnorm_lib.residual.block import Block
from resnorm_lib.residual.placement import PRE_NORM
from tests.residual.tools import disturb, draw, linear, make_stack

STATES = [name for name, scheme in SCHEMES.items() if scheme.carries_state]
# Here a branch reads something made for it: a sum, a product, a mixture of streams, a norm that the scheme requires.
MADE = {"fixup", "ln_scaling", "hyper_connections", "stochastic_hyper_connections", "value_residual", "sub_ln"}


def stack_of(make, scheme, blocks=3, **options):
    growth = {"growth": 3} if scheme == "concat" else {}
    branches = [make(*width, step) for step, width in enumerate(branch_widths(4, scheme, blocks, **growth))]
    return ResidualStack(branches, 4, scheme, **growth, **options).double()


class InPlace(nn.Sequential):
    mixes_values = True

    def __init__(self, reads, writes, seed, inplace=True):
        super().__init__(nn.ReLU(inplace), linear(reads, seed, writes), nn.ReLU(), linear(writes, seed + 9))

    def forward(self, x, mix_values=lambda values: values):
        return super().forward(mix_values(x))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_branch_never_overwrites_the_stream(scheme, mode):
    """With an operation in place first, a block gives what it gives without, or raises."""
    norm = "layer" if scheme == "sub_ln" else "none"
    stack = stack_of(InPlace, scheme, norm=norm).eval()
    twin = stack_of(lambda *width: InPlace(*width, inplace=False), scheme, norm=norm).eval()
    twin.load_state_dict(stack.state_dict())
    x = draw(5, 4)
    expected = twin(x)
    with mode():
        if mode is torch.inference_mode or scheme in MADE:  # inference tensors count no changes: the branch gets a copy
            torch.testing.assert_close(stack(x.clone()), expected)
            return
        with pytest.raises(ValueError, match="writes into the stream in place"):
            stack(x.clone())


@pytest.mark.parametrize("scheme", ["pre_norm", "peri_ln", "value_residual", "concat"])
def test_a_branch_may_overwrite_what_a_norm_made_for_it(scheme):
    stack = stack_of(InPlace, scheme)
    twin = stack_of(lambda *width: InPlace(*width, inplace=False), scheme)
    torch.testing.assert_close(stack(draw(5, 4)), twin(draw(5, 4)))


def test_branches_in_parallel_may_not_overwrite_the_norm_that_they_share():
    stack = stack_of(InPlace, "parallel", 4, branches_per_layer=2)
    with pytest.raises(ValueError, match="writes into the stream in place"):
        stack(draw(5, 4))


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name not in STATES])
def test_checkpointing_by_torch_runs_the_blocks_as_the_stack_does(scheme):
    stack, found = disturb(make_stack(scheme)).eval(), []
    for run in (stack, lambda x: checkpoint_sequential(stack, 2, x, use_reentrant=False)):
        x = draw(5, 4).requires_grad_()
        found.append(torch.autograd.grad(run(x).square().sum(), (x, *stack.parameters())))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("scheme", STATES)
def test_what_knows_no_state_is_told(scheme):
    with pytest.raises(ValueError, match="put the branches into a ResidualStack"):
        checkpoint_sequential(make_stack(scheme), 2, draw(5, 4), use_reentrant=False)


def test_a_block_that_takes_a_tensor_refuses_a_tuple():
    with pytest.raises(ValueError, match="the block was given a tuple, but PreNorm takes the stream alone"):
        make_stack("pre_norm")[0]((draw(5, 4), draw(5, 4)))


def test_symbolic_tracing_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match=r"symbolic_trace cannot follow the checks of a block: use torch\.export"):
        torch.fx.symbolic_trace(make_stack("pre_norm"))


@pytest.mark.parametrize("part", ["norm", "scheme", "block"])
def test_what_was_put_into_one_instance_is_called(part, monkeypatch):
    """The fused path steps aside for a method of the instance, as for a hook."""
    monkeypatch.setattr(fused, "uses_kernels", lambda *tensors: True)
    stack, x = ResidualStack([linear(4, step) for step in range(3)], 4).double(), draw(5, 4)
    assert fused.may_look_ahead(stack, x, PRE_NORM)
    assert fused.fuses(stack[1].scheme.norm, x, x)
    module = {"norm": stack[1].scheme.norm, "scheme": stack[1].scheme, "block": stack[1]}[part]
    whole, calls = module.forward, []
    module.forward = lambda *arguments: calls.append(part) or whole(*arguments)
    stack(x)
    assert calls == [part]


def test_a_norm_whose_class_was_patched_is_called(monkeypatch):
    monkeypatch.setattr(fused, "uses_kernels", lambda *tensors: True)
    monkeypatch.setattr(LayerNorm, "forward", lambda self, x: x)
    assert not fused.fuses(LayerNorm(4), draw(5, 4), draw(5, 4))


@pytest.mark.parametrize("part", ["Block", "Residual", "PreNorm", "LayerNorm"])
def test_a_forward_put_into_a_class_is_called_for_every_block(monkeypatch, part):
    monkeypatch.setattr(fused, "uses_kernels", lambda *tensors: True)
    stack, x, calls = make_stack("pre_norm", norm="layer"), draw(5, 4), []
    assert fused.may_look_ahead(stack, x, PRE_NORM)
    owner = {"Block": Block, "Residual": Residual, "PreNorm": SCHEMES["pre_norm"], "LayerNorm": LayerNorm}[part]
    whole = owner.forward
    monkeypatch.setattr(
        owner, "forward", lambda self, *given, **more: calls.append(part) or whole(self, *given, **more)
    )
    stack(x)
    assert calls == [part] * len(stack)


@pytest.mark.parametrize("scheme", ["hyper_connections", "stochastic_hyper_connections"])
def test_weight_decay_draws_hyper_connections_to_their_start(scheme):
    """A matrix that an optimizer may shrink to 0 leaves the streams mixed as they were at the start: R = I."""
    block = make_stack(scheme)[0]
    with torch.no_grad():
        for parameter in block.scheme.parameters():
            if parameter.dim() > 1:
                parameter.zero_()
    mixing = block.scheme.maps(draw(4, 5, 4))[2][:, :, 0, 0]
    torch.testing.assert_close(mixing, torch.eye(4).double(), rtol=0, atol=4 * 2.72**-8)


def test_one_stream_has_nothing_to_mix():
    with pytest.raises(ValueError, match="streams is 1, but it must be at least 2"):
        make_stack("stochastic_hyper_connections", streams=1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_parameter_has_its_own_memory_and_an_axis(scheme):
    """Files of safetensors refuse what is part of another tensor, and FSDP refuses what has no axis."""
    for parameter in make_stack(scheme).parameters():
        assert parameter.dim() > 0
        assert parameter.untyped_storage().nbytes() == parameter.numel() * parameter.element_size()


def test_a_norm_of_the_embeddings_is_part_of_the_first_block():
    """Which therefore loses the scale of what it reads, but for eps."""
    block = Residual(linear(4), 4, "peri_ln", position=make_stack("peri_ln")[0].scheme.position).double()
    torch.testing.assert_close(block(5 * draw(3, 4)), block(draw(3, 4)), rtol=1e-3, atol=1e-3)


WRITES = {
    "relu_": torch.relu_,
    "mul_": lambda x: x.mul_(2.0),
    "entries": lambda x: x.__setitem__((..., 0), 0.0) or x,
    "view": lambda x: x.view(-1).mul_(2.0) is None or x,
}


class Writes(nn.Module):
    """A branch that writes into what it reads by a function: no module tells of it."""

    def __init__(self, reads, writes, seed, write=lambda x: x):
        super().__init__()
        self.write, self.linear = write, linear(reads, seed, writes)

    def forward(self, x):
        return self.linear(self.write(x))


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("scheme", ["add", "post_norm", "parallel"])
@pytest.mark.parametrize("way", ["inference", "compile", "export", "vmap"])
def test_a_function_that_writes_into_the_stream_changes_nothing_where_torch_does_not_count(way, scheme, write):
    def stack(change):
        made = stack_of(lambda *width: Writes(*width, change), scheme, norm="none" if scheme == "add" else "layer")
        return made.eval()

    x = draw(5, 4)
    expected = stack(lambda read: WRITES[write](read.clone()))(x.clone())
    network = stack(WRITES[write])
    if way == "inference":
        with torch.inference_mode():
            found = network(x.clone())
    elif way == "compile":
        torch._dynamo.reset()  # each case would be one more way to compile the same code
        found = torch.compile(network, backend="aot_eager", fullgraph=True)(x.clone())
    elif way == "export":
        found = torch.export.export(network, (x.clone(),)).module()(x.clone())
    else:
        found = torch.vmap(network)(x.clone())
    torch.testing.assert_close(found, expected)


def test_a_block_alone_says_that_peri_ln_depends_on_its_place():
    with pytest.raises(ValueError, match="depends on where the block stands"):
        Residual(linear(4, 0), 4, "peri_ln", num_branches=2)


@pytest.mark.parametrize("scheme", ["resi_dual", "reversible"])
def test_slices_of_a_stack_that_carries_a_state_hand_it_on_and_take_nothing_else(scheme):
    stack, x = make_stack(scheme), draw(5, 4)
    assert torch.equal(stack.close(stack[2:](stack[:2](stack.open(x)))), stack(x))
    with pytest.raises(ValueError, match="carries more than x from block to block"):
        stack[:2](x)
