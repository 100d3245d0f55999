"""How fast the library is: its operations, training steps, and everything as ratios to plain torch.

::

    python -m resnorm_lib.bench operations --out FILE.json [--quick] [--budget SECONDS] [--ops ...] [--shapes MxN,...]
    python -m resnorm_lib.bench steps [--device cpu]
    python -m resnorm_lib.bench ratios [--only norm probe import ...] [--out FILE.json]
    python -m resnorm_lib.bench host [--device cuda] [--out FILE.json]
    python -m resnorm_lib.bench launches [--budget SECONDS] [--out FILE.json]
    python -m resnorm_lib.bench plot FILE.json OUT.png
    python -m resnorm_lib.bench schema

``operations``: for each operation, shape and dtype, forward and backward, the median time of many calls with a cold L2
cache, its quartiles, and the share of the byte floor of :mod:`resnorm_lib.bench.floors`; beside plain torch,
torch.compile and, where they are installed, Liger-Kernel, flash-attention and quack. ``steps``: whole training steps,
their norms made in several ways; the record of ``operations`` holds these too. What the record holds: ``schema``.
``host``: what a call costs the processor. ``launches``: other launches of the backward kernels for long rows.
``ratios``: norms, training steps, the probe and the import, each against plain torch and with a goal.
"""
