"""The table of all schemes. A new one is a class and a line here."""

from resnorm_lib.residual import earlier_layers, gates, hyper, placement, reversible, scaling

__all__ = ["SCHEMES"]

SCHEMES = {
    "plain": placement.Plain,
    "add": placement.Add,
    "pre_norm": placement.PreNorm,
    "post_norm": placement.PostNorm,
    "sandwich": placement.Sandwich,
    "peri_ln": placement.PeriLN,
    "sub_ln": placement.SubLN,
    "deep_norm": placement.DeepNorm,
    "ln_scaling": placement.LNScaling,
    "mix_ln": placement.MixLN,
    "resi_dual": earlier_layers.ResiDual,
    "depth_scaled": scaling.DepthScaled,
    "complete_p": scaling.CompleteP,
    "rezero": scaling.ReZero,
    "skip_init": scaling.SkipInit,
    "layer_scale": scaling.LayerScale,
    "fixup": scaling.Fixup,
    "t_fixup": scaling.TFixup,
    "stochastic_depth": scaling.StochasticDepth,
    "highway": gates.Highway,
    "gru": gates.GRUGate,
    "concat": earlier_layers.Concat,
    "dense_former": earlier_layers.DenseFormer,
    "value_residual": earlier_layers.ValueResidual,
    "reversible": reversible.Reversible,
    "hyper_connections": hyper.HyperConnections,
    "stochastic_hyper_connections": hyper.StochasticHyperConnections,
}
