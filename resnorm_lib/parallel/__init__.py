"""Many devices: what residual streams and norms need when a batch, a sequence or a model is spread over processes.

``python -m resnorm_lib.parallel data norms`` starts two processes on this machine and compares them with one;
``torchrun --nproc-per-node 2 -m resnorm_lib.parallel data norms`` does the same in processes that torchrun starts.
"""

from resnorm_lib.parallel.costs import gradient_seconds as gradient_seconds
from resnorm_lib.parallel.costs import ring_bytes as ring_bytes
from resnorm_lib.parallel.costs import seconds as seconds
from resnorm_lib.parallel.costs import sync_norm_bytes as sync_norm_bytes
from resnorm_lib.parallel.costs import sync_norm_seconds as sync_norm_seconds
from resnorm_lib.parallel.launch import ProcessFailed as ProcessFailed
from resnorm_lib.parallel.launch import run as run
from resnorm_lib.parallel.sync_batch_norm import SyncBatchNorm as SyncBatchNorm
from resnorm_lib.parallel.traffic import Traffic as Traffic

__all__ = [
    "ProcessFailed",
    "SyncBatchNorm",
    "Traffic",
    "gradient_seconds",
    "ring_bytes",
    "run",
    "seconds",
    "sync_norm_bytes",
    "sync_norm_seconds",
]
