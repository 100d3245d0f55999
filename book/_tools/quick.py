"""Check what has changed since the last commit, or in it, for two minutes at most: ``python -m book._tools.quick``."""

import subprocess
import sys
from pathlib import Path

from book._tools.manifest import ROOT
from resnorm_lib._processes import finished

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
    if path.parts[:3] == ("tests", "book", "answers") or path.parts[:2] == ("resnorm_lib", "checks"):
        return ["tests/course/test_graders.py", "tests/book/test_checks.py"]
    if path.parts[0] == "tests":
        return [name] if path.name.startswith("test_") else [f"{path.parent}"]
    if path.parts[0] == "resnorm_lib" and path.suffix == ".py":
        room = f"tests/{path.parts[1]}" if len(path.parts) > 2 else f"tests/test_{path.stem}.py"
        return [room if (ROOT / room).exists() else "tests/book", name, "tests/test_floors.py"]
    if name == "conftest.py":
        return ["tests/book/test_nbval.py", "tests/book/test_figures.py"]
    if path.parts[0] == "book" or path.suffix in (".yml", ".toml") or name in ("Makefile", "requirements.txt"):
        own = [f"tests/book/test_{path.stem}.py", *["tests/book/test_ext.py"] * (path.parts[:2] == ("book", "_ext"))]
        usual = [f"tests/book/test_{what}.py" for what in ("sources", "manifest", "commands")]
        return [*(test for test in own if (ROOT / test).exists()), *usual]
    return []


def within(command, seconds):
    """Run a command; return its exit status, or None when it was stopped after so long."""
    try:
        return finished(command, seconds, cwd=ROOT).returncode
    except subprocess.TimeoutExpired:
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
