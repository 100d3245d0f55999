"""Residual streams are found in any network without being told where, and only residual ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnorm_lib.models import MLP, DecoderLM, EncoderDecoder, ResNet, TransformerEncoder, cifar_resnet
from resnorm_lib.probes import probe
from tests.probes.networks import GPT, Block, Dense, Functional, Highway, ImageNet, Llama, LowRank


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens(rows=4, length=7, words=30):
    return torch.randint(words, (rows, length), generator=torch.Generator().manual_seed(0))


def found(model, batch, **options):
    """Return the number of blocks and the kinds of shortcut of each stream."""
    streams = probe(model, batch, **options).streams
    return [(len(stream.points) - 1, {point.shortcut for point in stream.points[1:]}) for stream in streams]


IDENTITY = {"identity"}


@pytest.mark.parametrize("recompute", [None, "reentrant", "plain"])
@pytest.mark.parametrize("parallel", [False, True])
def test_a_gpt_has_one_stream_of_two_blocks_a_layer(recompute, parallel):
    """Also where a layer's attention and feed-forward both read the stream before the layer (parallel)."""
    report = probe(GPT(recompute=recompute, parallel=parallel), tokens())
    (stream,) = report.streams
    assert [point.module for point in stream.points] == [f"h.{i}" for i in (0, 0, 0, 1, 1, 2, 2)]
    assert {point.shortcut for point in stream.points[1:]} == IDENTITY
    assert all(point.gradient_norm > 0 and point.token_rank >= 1 for point in stream.points)
    assert [norm.module for norm in report.norms][-1] == "ln_f"


def test_a_llama_is_found_behind_dicts_tuples_rotations_and_names_that_say_nothing():
    report = probe(Llama(), {"input_ids": tokens(), "scale": 2.0}, loss=lambda output: output[0].logsumexp(-1).mean())
    (stream,) = report.streams
    assert len(stream.points) == 7
    assert stream.name == "layers"
    assert [norm.kind for norm in report.norms] == ["Rescale"] * 7


def test_a_resnet_keeps_its_stream_through_projections_and_additions_in_place():
    report = probe(ImageNet(), draw(4, 3, 8, 8))
    (stream,) = report.streams
    assert [point.shortcut for point in stream.points] == ["", "identity", "identity", "projection", "identity"]
    assert [point.shape for point in stream.points] == [(4, 8, 8, 8)] * 3 + [(4, 16, 4, 4)] * 2
    assert {unit.units for unit in report.units} == {8, 16}
    assert len(report.norms) == 10


def test_functional_calls_and_post_norm():
    report = probe(Functional(depth=4), draw(5, 6))
    assert found(Functional(depth=4), draw(5, 6)) == [(4, IDENTITY)]
    assert [(norm.module, norm.kind) for norm in report.norms] == [("Functional", "layer_norm")] * 4


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_transformer_of_torch(norm_first, training):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).train(training)
    assert found(model, draw(4, 5, 8)) == [(6, IDENTITY)]
    with torch.no_grad():  # in evaluation torch would run one fused call a layer, in which nothing can be seen
        assert found(model, draw(4, 5, 8)) == [(6, IDENTITY)]


def test_samples_on_the_second_axis():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0), 2, enable_nested_tensor=False)
    x = draw(5, 4, 8)
    given = probe(model, x, sample_axis=1).streams[0].points
    model.layers[0].self_attn.batch_first = model.layers[1].self_attn.batch_first = True
    turned = probe(model, x.transpose(0, 1)).streams[0].points
    for one, other in zip(given[1:], turned[1:], strict=True):
        assert one.token_rank == pytest.approx(other.token_rank, rel=1e-5)
        assert one.gradient_correlation == pytest.approx(other.gradient_correlation, rel=1e-3)


def test_an_encoder_and_a_decoder_are_two_streams():
    model = nn.Transformer(8, 2, 2, 3, 16, batch_first=True)
    assert found(model, (draw(4, 5, 8), draw(4, 3, 8))) == [(9, IDENTITY), (4, IDENTITY)]
    ours = EncoderDecoder(30, 30, 8, encoder_depth=2, decoder_depth=2, num_heads=2, context_length=8)
    assert found(ours, (tokens(), tokens())) == [(6, IDENTITY), (4, IDENTITY)]


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        *(("pre_norm", "identity"), ("post_norm", "identity"), ("sandwich", "identity"), ("rezero", "identity")),
        *(("layer_scale", "identity"), ("fixup", "identity"), ("stochastic_depth", "identity")),
        *(("dense_former", "identity"), ("deep_norm", "modified"), ("highway", "modified"), ("gru", "modified")),
        ("hyper_connections", "modified"),
    ],
)
def test_our_mlp_under_many_schemes(scheme, kind):
    assert found(MLP(8, 16, 4, out_features=3, scheme=scheme, norm="layer"), draw(6, 8)) == [(4, {kind})]


def test_our_models():
    assert found(DecoderLM(30, 16, depth=3, num_heads=2, context_length=8), tokens()) == [(6, IDENTITY)]
    assert found(TransformerEncoder(30, 16, depth=3, num_heads=2, context_length=8, scheme="post_norm"), tokens()) == [
        (6, IDENTITY)
    ]
    assert found(cifar_resnet(14), draw(2, 3, 16, 16)) == [(6, {"identity", "modified"})]  # option A pads
    bottlenecks = ResNet("pre_bottleneck", (2, 2), (8, 16), 10, stem="cifar")
    assert found(bottlenecks, draw(2, 3, 8, 8)) == [(4, {"identity", "projection"})]


def test_two_streams_side_by_side():
    assert found(MLP(8, 16, 4, out_features=3, scheme="resi_dual", norm="layer"), draw(6, 8)) == [(4, IDENTITY)] * 2
    assert sum(blocks for blocks, _ in found(MLP(8, 16, 5, out_features=3, scheme="reversible"), draw(6, 8))) >= 4


def test_gates_scale_the_shortcut():
    assert found(nn.Sequential(*[Highway(6) for _ in range(3)]), draw(5, 6)) == [(3, {"modified"})]


def test_a_stream_goes_on_behind_layers_without_a_shortcut():
    stages = [Block(nn.Linear(6, 6)), Block(nn.Linear(6, 6)), nn.Linear(6, 4), nn.Tanh(), Block(nn.Linear(4, 4))]
    (stream,) = probe(nn.Sequential(*stages), draw(5, 6)).streams
    assert [point.shape for point in stream.points] == [(5, 6)] * 3 + [(5, 4)]


def test_a_stream_goes_on_with_the_first_block_and_not_with_an_addition_inside_its_branch():
    """As in ConvNeXt v2, where each branch has a response norm that adds its input."""

    def stage(size):
        response = Block(nn.Sequential(nn.Linear(2 * size, 2 * size), nn.Tanh()))
        return Block(nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), response, nn.Linear(2 * size, size)))

    stages = [stage(6), stage(6), nn.LayerNorm(6), nn.Linear(6, 4), stage(4), stage(4)]
    report = probe(nn.Sequential(*stages), draw(5, 6))
    assert [point.module for point in report.streams[0].points] == ["0", "0", "1", "4", "5"]
    assert len(report.streams) == 1


@pytest.mark.parametrize("inner", [[nn.Linear(6, 6)], []])
def test_a_block_inside_a_branch_is_not_on_the_stream(inner):
    def branch():
        return nn.Sequential(*inner, Block(nn.Linear(6, 6)), nn.Linear(6, 6))

    report = probe(nn.Sequential(*[Block(branch()) for _ in range(4)]), draw(5, 6))
    assert [point.module for point in report.streams[0].points] == ["0", "0", "1", "2", "3"]


def test_a_block_inside_a_branch_behind_an_activation_of_the_stream():
    def layer():
        return nn.Sequential(Block(nn.Sequential(Block(nn.Linear(6, 6)), nn.Linear(6, 6))), nn.Tanh())

    report = probe(nn.Sequential(*[layer() for _ in range(4)]), draw(5, 6))
    assert [point.module for point in report.streams[0].points] == ["0.0", "0.0", "1.0", "2.0", "3.0"]


class Sums(nn.Module):
    """Sums of equal shapes, none of them residual."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.adapted = nn.Linear(6, 6), nn.Linear(6, 6), LowRank(6, 24)
        self.place = nn.Parameter(torch.ones(5, 6))

    def forward(self, x):
        twice = x + x
        both = self.a(twice) + self.b(twice)
        gelu = both + 0.04 * both**3
        placed = gelu + self.place
        return self.adapted(placed) + torch.zeros(5, 24)


def test_other_sums_are_not_taken_for_residual_ones():
    report = probe(Sums(), draw(5, 6))
    assert report.streams == ()
    assert report.skips == ()
    assert report.findings() == [
        "No residual stream was found: no + or - adds to a value what layers that mix features or tokens have computed "
        "from it."
    ]


def test_two_branches_side_by_side_are_no_shortcut_and_branch():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.short = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
            self.long = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))

        def forward(self, x):
            return self.short(x) + self.long(x)

    assert found(nn.Sequential(*[Beside() for _ in range(3)]), draw(5, 6)) == []


def test_a_shared_weight_is_no_common_origin():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(6), nn.Linear(6, 6)

        def forward(self, one, other):
            return self.norm(one) + self.linear(self.norm(other))

    assert found(Shared(), (draw(5, 6), draw(5, 6, seed=1))) == []


def test_a_branch_that_mixes_nothing_is_none():
    assert found(Block(nn.LayerNorm((3, 4))), draw(5, 3, 4)) == []
    assert found(Block(nn.GELU()), draw(5, 3, 4)) == []


def test_low_rank_adapters_start_no_stream():
    branches = [nn.Sequential(LowRank(6, 24), nn.ReLU(), LowRank(24, 6)) for _ in range(3)]
    assert found(nn.Sequential(*map(Block, branches)), draw(5, 6)) == [(3, IDENTITY)]


def test_concatenation_is_told_from_addition():
    report = probe(Dense(depth=4), draw(5, 4))
    assert report.streams == ()
    assert len(report.concatenations) == 4
    assert report.findings()[1] == (
        "A value is concatenated with what was computed from it (in Dense; 4 times in all), as in a DenseNet: that is "
        "a shortcut. If a later call adds the parts, it is not followed."
    )


def test_a_stack_without_shortcuts_says_so_and_still_shows_norms_and_units():
    report = probe(MLP(8, 16, 3, out_features=2, scheme="plain"), draw(5, 8))
    assert report.findings()[0].startswith("No residual stream was found")
    assert (len(report.norms), len(report.units)) == (4, 3)


def test_python_sums_scaled_sums_and_views():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

        def forward(self, x):
            x = sum([x, self.layers[0](x)])
            x = torch.add(input=x, other=self.layers[1](x), alpha=-2)
            return (x.view(-1, 3, 2) + self.layers[2](x).view(-1, 3, 2)).flatten(1)

    (stream,) = probe(Odd(), draw(5, 6)).streams
    assert [point.shortcut for point in stream.points[1:]] == [
        "identity",
        "identity",
        "identity",
    ]  # sum() adds a 0, which changes nothing


def test_learned_queries_start_a_stream():
    class Latents(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries = nn.Parameter(draw(1, 3, 6))
            self.attend = nn.ModuleList(nn.MultiheadAttention(6, 2, batch_first=True) for _ in range(2))

        def forward(self, x):
            y = self.queries.expand(len(x), 3, 6)
            for layer in self.attend:
                y = y + layer(y, x, x)[0]
            return y

    assert found(Latents(), draw(4, 5, 6)) == [(2, IDENTITY)]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_script_is_one_hidden_call():
    model = nn.Sequential(Block(nn.Linear(6, 6)), Block(torch.jit.script(nn.Linear(6, 6))))
    report = probe(model, draw(5, 6))
    assert len(report.streams[0].points) == 3
    assert report.hidden == ("1.branch",)
    assert "What happens inside 1.branch could not be seen, and is taken for one call." in report.findings()


def test_a_compiled_model_runs_uncompiled():
    model, x = torch.compile(nn.Sequential(Block(nn.Linear(6, 6)), Block(nn.Linear(6, 6))), backend="eager"), draw(5, 6)
    model(x)
    assert found(model, x) == [(2, IDENTITY)]


def test_half_precision_around_float32_norms():
    report = probe(Llama().bfloat16(), tokens(), loss=lambda output: output[0].float().square().mean())
    assert all(point.gradient_norm > 0 for point in report.streams[0].points)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert found(GPT(), tokens()) == [(6, IDENTITY)]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_forward_statistics_remain(mode):
    with mode():
        report = probe(GPT(), tokens())
    assert all(point.rms > 0 and point.gradient_norm is None for point in report.streams[0].points)
    assert "There are no gradients: they are switched off (no_grad or inference_mode)." in report.findings()


def test_frozen_layers_say_why_there_are_no_gradients():
    frozen = GPT().requires_grad_(False)
    assert probe(frozen, tokens()).missing == "the loss depends on nothing that requires one"
    frozen.ln_f.requires_grad_(True)
    assert probe(frozen, tokens()).missing.startswith("no stream requires one")
    assert probe(GPT(), tokens(), loss=None).missing == "loss is None"


def test_reversible_without_memory_hides_its_gradients_and_says_so():
    model = MLP(8, 16, 4, out_features=3, scheme="reversible", norm="layer", save_memory=True)
    report = probe(model, draw(6, 8))
    assert [point.gradient_norm is None for point in report.streams[0].points] == [False, True, True, False]
    assert report.findings()[0] == (
        "blocks: There are no gradients at depth 1 to 2: its sums are frozen, unused by the loss, or made inside a "
        "function with a backward of its own."
    )


def test_norms_of_weights_are_not_norms_of_activations():
    class Standardized(nn.Linear):
        def forward(self, x):
            return F.linear(x, F.layer_norm(self.weight, self.weight.shape[1:]))

    assert probe(Block(Standardized(6, 6)), draw(5, 6)).norms == ()
