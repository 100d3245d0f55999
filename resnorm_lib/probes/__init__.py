"""Probes: what happens by depth inside any network, found without being told where to look.

>>> import torch
>>> from resnorm_lib.models import MLP
>>> from resnorm_lib.probes import probe
>>> report = probe(MLP(8, 16, depth=4, out_features=3), torch.randn(32, 8))
>>> report
Report(1 streams of 4 blocks, 5 norms)

``print(report.table())`` shows the numbers, ``report.plot()`` draws them, and ``report.findings()`` says what stands
out.
"""

from resnorm_lib.probes.call import mean_square
from resnorm_lib.probes.records import NormGain, Point, Stream, Units
from resnorm_lib.probes.report import Report
from resnorm_lib.probes.run import probe

__all__ = ["NormGain", "Point", "Report", "Stream", "Units", "mean_square", "probe"]
