"""Check what has changed since the last commit, or in it, for two minutes at most: ``python -m book._tools.quick``."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.book.sources import ROOT

SECONDS = 120


def changed():
    """Return the files that differ from the last commit, or, where none does, those of that commit."""

    def files(*command):
        names = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        return [name for name in names if (ROOT / name).is_file()]

    now = files("diff", "--name-only", "HEAD") + files("ls-files", "--others", "--exclude-standard")
    return now or files("diff", "--name-only", "HEAD~1", "HEAD")


def tests_of(name):
    """Return what pytest runs for a changed file: its doctests and the tests of its room, or a chapter by itself."""
    path = Path(name)
    if path.suffix == ".ipynb":
        return ["tests/book/test_chapters.py", name]
    if path.parts[0] == "tests":
        return [name] if path.name.startswith("test_") else [f"{path.parent}"]
    if path.parts[0] == "resnorm_lib" and path.suffix == ".py":
        room = f"tests/{path.parts[1]}" if len(path.parts) > 2 else f"tests/test_{path.stem}.py"
        return [room if (ROOT / room).exists() else "tests/book", name, "tests/test_floors.py"]
    if path.parts[0] == "book" or path.suffix in (".yml", ".toml") or path.name == "Makefile":
        return ["tests/book/test_sources.py", "tests/book/test_manifest.py", "tests/book/test_commands.py"]
    return []


def within(command, seconds):
    """Run a command in a group of its own; return its exit status, or None when it was stopped after so long."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        return None


def main():
    names = changed()
    wanted = list(dict.fromkeys(test for name in names for test in tests_of(name)))
    print(f"{len(names)} changed files: {' '.join(wanted) or 'nothing to test'}", flush=True)
    lint = [sys.executable, "-m", "ruff"]
    if within([*lint, "check", "."], SECONDS) or within([*lint, "format", "--check", "."], SECONDS):
        sys.exit("The style is not ours: make lint says where.")
    chapters = ["--nbval"] if any(test.endswith(".ipynb") for test in wanted) else []
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "--dist", "loadfile", *chapters, *wanted]
    status = within(command, SECONDS) if wanted else 0
    if status is None:
        print("Two minutes are over, and nothing has failed so far. The rest: make test.")
    sys.exit(status or 0)


if __name__ == "__main__":
    main()
