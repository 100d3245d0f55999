"""Probes: what happens by depth inside any network, found without being told where to look.

>>> import torch
>>> from resnorm_lib.models import MLP
>>> from resnorm_lib.probes import probe
>>> report = probe(MLP(8, 16, depth=4, out_features=3), torch.randn(32, 8))
>>> report
Report(1 streams of 4 blocks, 5 norms)

``print(report.table())`` shows the numbers, ``report.plot()`` draws them, and ``report.findings()`` says what stands
out.

How the files belong together: ``run`` calls the model as ``call`` has understood the batch, with the state of the model
protected by ``untouched``. During the forward pass ``watch`` sees each call of torch. ``operations`` knows what a call
does, ``lineage`` from what a value was computed, ``parting`` where two values parted, ``modules`` in which module it
was: so ``additions`` finds the residual ones, and ``statistics`` and ``norm_gains`` measure them and the norms at once.
``streams`` then joins the additions. ``report`` holds the results as ``rows``, with a ``figure`` and with sentences
from ``findings``.
"""

from resnorm_lib.probes.call import mean_square
from resnorm_lib.probes.report import Report
from resnorm_lib.probes.rows import NormGain, Point, Stream, Units
from resnorm_lib.probes.run import probe

__all__ = ["NormGain", "Point", "Report", "Stream", "Units", "mean_square", "probe"]
