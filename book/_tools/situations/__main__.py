"""``python -m book._tools.situations``: run every cell and write the page of the book."""

import warnings
from pathlib import Path

import torch

from book._tools.situations.outcomes import SITUATIONS, applies, outcomes
from book._tools.situations.page import markdown
from book._tools.situations.subjects import subjects

PAGE = Path(__file__).parents[2] / "api" / "situations.md"

if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torch warns of what a note explains
    pairs = [(situation, row) for situation in SITUATIONS for row in subjects() if applies(situation, row)]
    PAGE.write_text(markdown(outcomes(pairs)), encoding="utf-8")
    print(f"{len(pairs)} cells in {PAGE.name}")
