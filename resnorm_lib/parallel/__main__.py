"""``python -m resnorm_lib.parallel``: the scripts of the chapter "On many devices"."""

from resnorm_lib.parallel.command_line import main

if __name__ == "__main__":
    main()
