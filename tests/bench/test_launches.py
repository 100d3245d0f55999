"""Other launches for long rows: each computes what the library's does, and one that fails ends no other."""

import pytest
import torch

from resnorm_lib.bench import launches
from resnorm_lib.bench.__main__ import told
from resnorm_lib.bench.timing import Clock
from resnorm_lib.ops.launch import Plan, Rows
from tests.ops.cases import DEVICE, needs_kernels

# One in chunks, one read again.
SMALL = {("layer_norm", 64): (Rows(2, 16, 4), Rows(1, 64, 4, again=True)), ("rms_norm", 64): (Rows(2, 32, 4),)}
QUICK = {"runs": 5, "seconds": 0.0, "cold_bytes": 4}


@needs_kernels
def test_every_launch_is_timed_beside_the_librarys_own_and_computes_the_same():
    seen = []
    rows = launches.measure(Clock(DEVICE, **QUICK), SMALL, entries=3 * 64, on_row=seen.append)
    assert rows == seen
    assert [(row["op"], row["launch"] and row["launch"]["block"]) for row in rows] == [
        ("layer_norm", None), ("layer_norm", 16), ("layer_norm", 64), ("rms_norm", None), ("rms_norm", 32),
    ]  # fmt: skip
    for row in rows:
        assert row["median_s"] > 0
        assert row["error"] <= 2 * torch.finfo(torch.bfloat16).eps
        assert f"{1e6 * row['median_s']:.1f} us" in told(row)


@needs_kernels
def test_a_launch_that_is_refused_ends_no_other(monkeypatch):
    launch = Plan.__call__

    def refuse(plan, *arguments):
        if plan.config and plan.config.again:
            raise RuntimeError("out of resources\nand more")
        return launch(plan, *arguments)

    monkeypatch.setattr(Plan, "__call__", refuse)
    rows = launches.measure(Clock(DEVICE, **QUICK), SMALL, entries=3 * 64)
    assert [row.get("reason") for row in rows] == [None, None, "out of resources", None, None]
    assert "out of resources" in told(rows[2])


@needs_kernels
def test_no_launch_is_begun_when_the_time_is_up():
    assert launches.measure(Clock(DEVICE, **QUICK), SMALL, entries=3 * 64, budget=-1) == []


def test_the_bytes_of_a_launch_bound_what_it_reaches():
    """Many programs with long rows hold more than the L2 cache: what they read again comes from the memory."""
    m, n, whole = 2**16, 2**16, Rows(1, 2**16, 16)
    assert launches.bound("rms_norm", m, n, whole, 132) == 1
    few, many = (launches.bound("rms_norm", m, n, Rows(4, 2048, 16), programs) for programs in (16, 132))
    assert few == 1
    assert many == pytest.approx(3 / 5, rel=0.01)  # x and dy once more, beside x, dy and dx; the sums are few
