"""An exported graph takes any batch and any image; a checkpoint gives the numbers of one pass, or raises."""

import pytest
import torch
from torch.export import Dim, export
from torch.utils.checkpoint import checkpoint

from resnorm_lib.norms import BatchRenorm, make_norm

OF_CHANNELS = ["batch", "batch_renorm", "ghost_batch", "group", "instance"]
OF_ROWS = ["ada", "dyt", "derf", "layer", "rms", "scale"]


@pytest.mark.parametrize("sizes", [(5,), (5, 6)], ids=["lines", "images"])
@pytest.mark.parametrize("name", OF_CHANNELS + OF_ROWS)
def test_an_exported_norm_takes_any_size(name, sizes):
    norm = make_norm(name, 8).eval()
    free = range(2, 2 + len(sizes)) if name in OF_CHANNELS else range(1, 1 + len(sizes))
    shape = (4, 8, *sizes) if name in OF_CHANNELS else (4, *sizes, 8)
    shapes = dict.fromkeys((0, *free), Dim.DYNAMIC)
    exported = export(norm, (torch.randn(shape),), dynamic_shapes=(shapes,)).module()
    for more in (1, 3):
        x = torch.randn([size if size == 8 else size + more for size in shape])
        torch.testing.assert_close(exported(x), norm(x))


@pytest.mark.parametrize("reentrant", [True, False])
def test_batch_renorm_refuses_a_second_run_with_other_statistics(reentrant):
    norm, x = BatchRenorm(4), torch.randn(8, 4).requires_grad_()
    with pytest.raises(ValueError, match="BatchRenorm cannot run a second time in the backward pass"):
        checkpoint(norm, x, use_reentrant=reentrant).square().sum().backward()
    checkpoint(norm.eval(), x, use_reentrant=reentrant).square().sum().backward()  # there nothing moves
    assert x.grad.isfinite().all()
