"""Where a model is built: on the CPU, so that a seed gives the same weights on every device, or on the meta device."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch

__all__ = ["meta_at_once"]

Init = TypeVar("Init", bound=Callable[..., None])


def meta_at_once(init: Init) -> Init:
    """Let an ``__init__`` that is given ``device="meta"`` make all parts there: on the CPU they would fill memory."""

    @functools.wraps(init)
    def on_device(self: Any, *args: Any, device: torch.device | str | None = None, **options: Any) -> None:
        is_meta = device is not None and torch.device(device).type == "meta"
        with torch.device("meta") if is_meta else nullcontext():
            init(self, *args, device=device, **options)

    return on_device
