"""Let the other extensions import ``book`` and ``resnorm_lib``: ``jupyter-book build`` starts elsewhere."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))


def setup(app):
    return {"parallel_read_safe": True, "parallel_write_safe": True}
