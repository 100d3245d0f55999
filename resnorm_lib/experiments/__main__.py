"""``python -m resnorm_lib.experiments``: list, describe, run, suite, compare."""

from resnorm_lib import runtime

runtime.fix_arithmetic()  # as in the chapters, and as there before torch is imported

from resnorm_lib import experiments  # noqa: E402
from resnorm_lib.engine.command_line import main  # noqa: E402

if __name__ == "__main__":
    main(experiments)
