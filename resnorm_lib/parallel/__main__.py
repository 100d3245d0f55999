"""``python -m resnorm_lib.parallel``: the scripts of the chapter "On many devices"."""

from resnorm_lib._pipe import until_the_reader_leaves
from resnorm_lib.parallel.command_line import main

if __name__ == "__main__":
    with until_the_reader_leaves():
        main()
