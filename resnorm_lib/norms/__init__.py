"""Normalization layers as torch modules.

Each has the defaults of the layer of the same name in :mod:`torch.nn`, is an instance of it and shares its state dict.
BatchNorm and InstanceNorm take any number of axes: each is an instance of the base class of torch's three, not of
``BatchNorm2d`` (:class:`BatchNorm` says what to ask). All keep their statistics in float32 when the input is float16 or
bfloat16. The formulas, forward and backward, are
written out in :mod:`resnorm_lib.reference`; the tests hold these modules to them. ``torch.compile``, ``torch.export``
and ``torch.jit.trace`` take all of them, ``torch.jit.script`` none. :func:`make_norm` builds any of these by name:
"""

from resnorm_lib.norms import registry
from resnorm_lib.norms.ada_norm import AdaNorm as AdaNorm
from resnorm_lib.norms.adaptive_layer_norm import AdaptiveLayerNorm as AdaptiveLayerNorm
from resnorm_lib.norms.batch_norm import BatchNorm as BatchNorm
from resnorm_lib.norms.batch_renorm import BatchRenorm as BatchRenorm
from resnorm_lib.norms.dynamic_tanh import Derf as Derf
from resnorm_lib.norms.dynamic_tanh import DynamicTanh as DynamicTanh
from resnorm_lib.norms.ghost_batch_norm import GhostBatchNorm as GhostBatchNorm
from resnorm_lib.norms.group_norm import GroupNorm as GroupNorm
from resnorm_lib.norms.group_norm import InstanceNorm as InstanceNorm
from resnorm_lib.norms.layer_norm import LayerNorm as LayerNorm
from resnorm_lib.norms.qk_norm import CosineQKNorm as CosineQKNorm
from resnorm_lib.norms.qk_norm import QKNorm as QKNorm
from resnorm_lib.norms.registry import NORMS as NORMS
from resnorm_lib.norms.registry import make_norm as make_norm
from resnorm_lib.norms.registry import named as named
from resnorm_lib.norms.rms_norm import RMSNorm as RMSNorm
from resnorm_lib.norms.scale_norm import ScaleNorm as ScaleNorm
from resnorm_lib.norms.weights import WeightNorm as WeightNorm
from resnorm_lib.norms.weights import WeightStandardization as WeightStandardization
from resnorm_lib.norms.weights import weight_norm as weight_norm
from resnorm_lib.norms.weights import weight_standardization as weight_standardization

__all__ = [
    "NORMS",
    *sorted(name for name, value in globals().items() if getattr(value, "__module__", "").startswith(f"{__name__}.")),
]

if __doc__:  # python -OO leaves none
    __doc__ += f"\n{registry.names()}"
