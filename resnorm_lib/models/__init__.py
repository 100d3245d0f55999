"""Networks built from :mod:`resnorm_lib.norms` and :mod:`resnorm_lib.residual`, with any scheme and any norm.

What differs from torch and torchvision: wrong shapes raise ``ValueError``, not ``RuntimeError``; initial weights are
drawn on the CPU and then moved, so that a seed gives the same model on every device; stochastic depth scales the branch
in evaluation, as its paper does, and not in training.
"""

from resnorm_lib.models.encoder_decoder import EncoderDecoder
from resnorm_lib.models.experts import Experts
from resnorm_lib.models.gpt2 import from_gpt2, gpt2_state_dict
from resnorm_lib.models.latent_attention import LatentAttention
from resnorm_lib.models.mlp import MLP
from resnorm_lib.models.resnet import ResNet, cifar_resnet, resnet18, resnet34, resnet50, wide_resnet
from resnorm_lib.models.series_norm import ReversibleInstanceNorm
from resnorm_lib.models.sink_attention import SinkAttention
from resnorm_lib.models.transformer import DecoderLM, TransformerEncoder

__all__ = [
    "MLP",
    "DecoderLM",
    "EncoderDecoder",
    "Experts",
    "LatentAttention",
    "ResNet",
    "ReversibleInstanceNorm",
    "SinkAttention",
    "TransformerEncoder",
    "cifar_resnet",
    "from_gpt2",
    "gpt2_state_dict",
    "resnet18",
    "resnet34",
    "resnet50",
    "wide_resnet",
]
