"""The cases of the benchmark: an operation, a shape and a dtype; with the inputs and the byte floor of each."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resnorm_lib.bench.floors import FLOORS, Floor

__all__ = ["DTYPES", "EPS", "MAIN", "OPS", "Case", "default_cases", "parse_shape"]

EPS, SCALE, GROUPS = 1e-5, 0.125, 32
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
OPS = tuple(FLOORS)
MAIN = ("rms_norm", "add_rms_norm", "layer_norm", "add_layer_norm")
ELEMENTS = 2**26  # of one tensor: 128 MiB in 16 bits, well above any L2 cache

# In today's models a row of the residual stream has 1k to 16k numbers; ENDS has longer, shorter and fewer rows.
WIDTHS = (4096, 8192, 2048, 1024, 16384)
ENDS = ((65536, 768), (16384, 5120), (2048, 65536), (131072, 256), (2048, 4096), (64, 4096))
IMAGES = ((64, 256, 56, 56), (64, 512, 28, 28), (16, 320, 64, 64), (4, 128, 256, 256), (256, 1024, 7, 7))


class Case(NamedTuple):
    """An operation on tensors of a shape: (M, N), or for GroupNorm (samples, channels, positions...)."""

    op: str
    shape: tuple
    dtype: str

    @property
    def groups(self) -> int:
        """Return the largest number of groups, at most 32, that divides the number of channels."""
        return next(g for g in range(GROUPS, 0, -1) if self.shape[1] % g == 0)

    def floor(self, processors: int) -> Floor:
        """Return the byte floor. Each of the processors adds up gradients; parameters have the dtype of the tensors."""
        size = DTYPES[self.dtype].itemsize
        if self.op.startswith("group_norm"):
            samples, channels, *positions = self.shape
            return FLOORS[self.op](samples, channels, torch.Size(positions).numel(), self.groups, size, size)
        m, n = self.shape
        # Elementwise operations split the columns over programs too, so that fewer programs add to the sum of a column.
        programs = max(1, processors // -(-n // 512)) if self.op in ("dyt", "derf") else processors
        return FLOORS[self.op](m, n, size, size, programs)

    def inputs(self, device: torch.device, seed: int = 0) -> list[Tensor]:
        """Draw the inputs, leaves that require a gradient: the tensors first, then the parameters."""
        generator = torch.Generator(device).manual_seed(seed)

        def normal(*shape: int, dtype: torch.dtype = DTYPES[self.dtype]) -> Tensor:
            return torch.randn(shape, generator=generator, device=device, dtype=dtype)

        tensors = [normal(*self.shape)]
        if self.op == "group_norm_last":
            samples, channels, *positions = self.shape
            tensors = [normal(samples, *positions, channels).movedim(-1, 1)]
        if self.op.startswith("add_"):
            wide = {"dtype": torch.float32} if self.op.endswith("fp32") else {}
            tensors.append(normal(*self.shape, **wide))
        if self.op == "scaled_add":
            return [t.requires_grad_() for t in (*tensors, normal(*self.shape))]
        n = self.shape[1]
        has_bias = "rms" not in self.op
        parameters = [1 + 0.1 * normal(n)] + ([0.1 * normal(n)] if has_bias else [])
        if self.op in ("dyt", "derf"):
            numbers = [torch.full((1,), 0.5, device=device, dtype=DTYPES[self.dtype])]
            numbers += [torch.zeros_like(numbers[0])] if self.op == "derf" else []
            parameters = numbers + parameters
        return [t.detach().requires_grad_() for t in (*tensors, *parameters)]

    def __str__(self) -> str:
        return f"{self.op} {'x'.join(map(str, self.shape))} {self.dtype}"


def parse_shape(text: str) -> tuple[int, ...]:
    """Return a shape such as ``"4096x1024"`` as a tuple.

    Raises
    ------
    ValueError
        If it is not two or more positive integers joined by x.
    """
    parts = text.lower().split("x")
    if len(parts) < 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(f"a shape is {text!r}, but it must be positive integers joined by x, such as 4096x1024.")
    return tuple(map(int, parts))


def fits(op: str, shape: tuple[int, ...]) -> bool:
    return (len(shape) > 2) == op.startswith("group_norm")


def default_cases(
    ops: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    shapes: Sequence[tuple[int, ...]] | None = None,
    quick: bool = False,
    is_cpu: bool = False,
) -> list[Case]:
    """Return the cases, most important first: bfloat16, then other dtypes; usual widths, then extremes; norms first."""
    rows = [(ELEMENTS // n, n) for n in (WIDTHS[:3] if quick else WIDTHS)]
    images = list(IMAGES[:1] if quick else IMAGES)
    if is_cpu:  # 30 MiB, more than the cache of a core holds; quick: a smoke test that shows the order of magnitude
        rows, images = [(256, 1024)] if quick else [(7680, 1024)], [(4, 64, 16, 16)]
    elif not quick:
        rows += ENDS
    shapes = [*rows, *images] if shapes is None else list(shapes)
    dtypes = (["float32"] if is_cpu else list(DTYPES)[: 1 if quick else None]) if dtypes is None else dtypes
    ops = list(OPS) if ops is None else list(ops)
    cases = [Case(op, shape, dtype) for dtype in dtypes for shape in shapes for op in ops if fits(op, shape)]
    return sorted(cases, key=lambda case: value(case, dtypes, shapes))


def value(case: Case, dtypes: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> tuple:
    """Return the key by which cases are sorted. The first shape of images ranks with the first shape of rows."""
    alike = [shape for shape in shapes if fits(case.op, shape)]
    place = alike.index(case.shape)
    wave = 0 if place == 0 else 1 if place < len(WIDTHS) else 2
    return dtypes.index(case.dtype), wave + (0 if case.op in MAIN else 0.5), place, OPS.index(case.op)
