"""Architectures that others wrote: their streams are found, and the numbers are those of plain hooks.

Needs torchvision, timm and transformers, which nothing else in the project needs: without them these tests skip.
"""

import importlib
import re

import pytest
import torch

from resnorm_lib.probes import probe

pytestmark = pytest.mark.filterwarnings("ignore")
SIZES = {
    **{"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2},
    **{"intermediate_size": 48, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
}
GROUPED = SIZES | {"num_key_value_heads": 2}
EXPERTS = GROUPED | {"num_local_experts": 4}
OPT = SIZES | {"word_embed_proj_dim": 32, "ffn_dim": 48, "max_position_embeddings": 16}
JETMOE = EXPERTS | {"num_key_value_heads": 1, "kv_channels": 16, "num_experts_per_tok": 2}
GPT2 = SIZES | {"n_embd": 32, "n_layer": 3, "n_head": 2}
DISTILBERT = SIZES | {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 48}
T5 = SIZES | {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 3, "num_heads": 2}
SMALL = {"img_size": 32, "depth": 3}

# Package, network, options; how many blocks; modules, in the order of their calls, and whether their inputs or outputs
# are the sums; the depths of these sums.
NETWORKS = [
    ("torchvision", "resnet18", {}, 8, r"layer\d\.\d\.relu", "input", range(1, 9)),
    ("torchvision", "resnet50", {}, 16, r"layer\d\.\d\.relu", "input", range(1, 17)),
    ("torchvision", "mobilenet_v2", {}, 10, r"features\.(3|5|6|8|9|10|12|13|15|16)", "output", range(1, 11)),
    ("torchvision", "convnext_tiny", {}, 18, r"features\.[1357]\.\d", "output", range(1, 19)),
    ("torchvision", "swin_t", {}, 24, r"features\.[1357]\.\d", "output", range(2, 25, 2)),
    ("torchvision", "vit_b_32", {"image_size": 64}, 24, r".*\.ln_[12]|encoder\.ln", "input", range(25)),
    ("timm", "vit_tiny_patch16_224", SMALL, 6, r"blocks\.\d\.norm\d|norm", "input", range(7)),
    ("timm", "deit3_small_patch16_224", SMALL, 6, r"blocks\.\d\.norm\d|norm", "input", range(7)),
    ("timm", "mixer_s32_224", {"img_size": 64}, 16, r"blocks\.\d\.norm\d|norm", "input", range(17)),
    ("timm", "resnetv2_18", {}, 8, r"stages\.\d\.blocks\.\d", "output", range(1, 9)),
    ("timm", "convnextv2_atto", {}, 12, r"stages\.\d\.blocks\.\d", "output", range(1, 13)),
    ("timm", "nf_resnet26", {}, 8, r"stages\.\d\.\d", "output", range(1, 9)),
    ("transformers", "GPT2Model", GPT2, 6, r"h\.\d\.ln_\d|ln_f", "input", range(7)),
    ("transformers", "BertModel", SIZES, 6, r".*\.output\.LayerNorm", "input", range(1, 7)),
    ("transformers", "DistilBertModel", DISTILBERT, 6, r".*\.(sa|output)_layer_norm", "input", range(1, 7)),
    (
        "transformers",
        "AlbertModel",
        SIZES | {"embedding_size": 16},
        6,
        r".*\.(full_layer_layer_norm)",
        "input",
        (2, 4, 6),
    ),
    ("transformers", "LlamaModel", GROUPED, 6, r"layers\.\d\..*layernorm|norm", "input", range(7)),
    ("transformers", "Qwen3Model", GROUPED | {"head_dim": 16}, 6, r"layers\.\d\..*layernorm|norm", "input", range(7)),
    ("transformers", "Gemma2Model", GROUPED | {"head_dim": 16}, 6, r"layers\.\d", "output", (2, 4, 6)),
    ("transformers", "Olmo2Model", GROUPED, 6, r"layers\.\d", "output", (2, 4, 6)),
    ("transformers", "OPTModel", OPT, 6, r".*layer_norm", "input", range(7)),
    ("transformers", "GPTNeoXModel", SIZES, 3, r"layers\.\d", "output", range(1, 4)),
    ("transformers", "PhiModel", SIZES, 3, r"layers\.\d", "output", range(1, 4)),
    ("transformers", "MambaModel", SIZES | {"state_size": 4}, 3, r"layers\.\d", "output", range(1, 4)),
    ("transformers", "MixtralModel", EXPERTS, 6, r"layers\.\d\..*layernorm|norm", "input", range(7)),
    ("transformers", "GraniteMoeModel", EXPERTS, 6, r"layers\.\d\..*layernorm|norm", "input", range(7)),
    ("transformers", "JetMoeModel", JETMOE, 6, r"layers\.\d\..*layernorm|norm", "input", range(7)),
    ("transformers", "T5EncoderModel", T5, 6, r".*layer_norm", "input", range(7)),
]


def built(package, name, options):
    """Return the network in evaluation mode and a batch, or skip where the package is absent."""
    try:
        library = importlib.import_module({"torchvision": "torchvision.models"}.get(package, package))
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{package} is not installed, or not for this torch: {error}")
    if package != "transformers" and not hasattr(library, name) and name not in library.list_models():
        pytest.skip(f"this version of {package} has no {name}.")
    torch.manual_seed(0)
    image = torch.randn(2, 3, options.get("image_size", options.get("img_size", 64)), options.get("img_size", 64))
    if package == "torchvision":
        return getattr(library, name)(**options).eval(), image
    if package == "timm":
        return library.create_model(name, **options).eval(), image
    known = getattr(library, re.sub(r"(Encoder)?Model$", "Config", name))(**options)
    return getattr(library, name)(known).eval(), {"input_ids": torch.randint(3, 40, (2, 6))}


def by_hooks(model, batch, pattern, side):
    """Return root mean square and gradient norm of what the modules take or give, by hooks and nothing else."""
    sums = []

    def keep(tensor):
        record = {"rms": tensor.detach().square().mean().sqrt().item()}
        tensor.register_hook(lambda gradient: record.update(gradient_norm=gradient.norm().item()))
        sums.append(record)

    def on_input(module, args):
        keep(args[0])

    def on_output(module, args, output):
        keep(output[0] if isinstance(output, tuple) else output)

    hooks = [
        module.register_forward_pre_hook(on_input) if side == "input" else module.register_forward_hook(on_output)
        for name, module in model.named_modules()
        if re.fullmatch(pattern, name)
    ]
    output = model(**batch) if isinstance(batch, dict) else model(batch)
    tensors = [output] if isinstance(output, torch.Tensor) else [x for x in output.values() if torch.is_tensor(x)]
    (sum(x.square().sum() for x in tensors) / sum(x.numel() for x in tensors)).backward()
    for hook in hooks:
        hook.remove()
    return sums


@pytest.mark.parametrize(("package", "name", "options", "blocks", "pattern", "side", "depths"), NETWORKS)
def test_streams_and_numbers_are_those_of_plain_hooks(package, name, options, blocks, pattern, side, depths):
    model, batch = built(package, name, options)
    report = probe(model, batch)
    assert [len(stream.points) - 1 for stream in report.streams] == [blocks]
    points = [report.streams[0].points[depth] for depth in depths]
    sums = by_hooks(model, batch, pattern, side)
    every = len(sums) // len(
        points
    )  # a block of torchvision's ResNets calls one ReLU again and again, last for the sum
    sums = sums[every - 1 :: every]
    assert [p.rms for p in points] == pytest.approx([s["rms"] for s in sums], rel=1e-4)
    assert [p.gradient_norm for p in points] == pytest.approx([s["gradient_norm"] for s in sums], rel=1e-3, abs=1e-9)
