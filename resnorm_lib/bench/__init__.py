"""How fast the fused operations are, and how far from the fewest bytes that they must move.

::

    python -m resnorm_lib.bench --out FILE.json [--quick] [--budget SECONDS] [--ops ...] [--shapes MxN,...]
    python -m resnorm_lib.bench --plot FILE.json --png OUT.png
    python -m resnorm_lib.bench --schema

For each operation, shape and dtype, forward and backward, the median time of many calls with a cold L2 cache, its
quartiles, and the share of the byte floor of :mod:`resnorm_lib.bench.floors`; beside plain torch, torch.compile
and, where they are installed, Liger-Kernel, flash-attention and quack. What the file holds: ``--schema``, or
``resnorm_lib.bench.schema``.
"""
