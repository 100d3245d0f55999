"""Check what has changed since the last commit, or in it, for two minutes at most: ``python -m book._tools.quick``."""

import re
import subprocess
import sys
from pathlib import Path

from book._tools.manifest import ROOT
from resnorm_lib import PACKAGES
from resnorm_lib._processes import finished

SECONDS = 120
OF_CHECKS = ["tests/course/test_graders.py", "tests/book/test_checks.py"]
OF_THE_BOOK = [f"tests/book/test_{what}.py" for what in ("sources", "manifest", "commands")]


def changed():
    """Return the files that differ from the last commit, deleted ones too, or, if none does, those of that commit."""

    def files(*command):
        return subprocess.run(
            ["git", *command], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    now = files("diff", "--name-only", "--no-renames", "HEAD") + files("ls-files", "--others", "--exclude-standard")
    return now or files("log", "-1", "-m", "--first-parent", "--name-only", "--no-renames", "--format=")


def tests_of(name):
    """Return what pytest runs for a changed or deleted file: its doctests and the tests of its room.

    A chapter runs by itself. What several rooms share runs the tests of those that use it.
    """
    return [test for test in dict.fromkeys(_tests_of(Path(name))) if (ROOT / test).exists()]


def _tests_of(path):
    top, name = path.parts[0], str(path)
    if path.suffix == ".ipynb":
        return ["tests/book/test_chapters.py", name, *OF_THE_BOOK * (not (ROOT / name).exists())]
    if path.parts[:3] == ("tests", "book", "answers"):
        return OF_CHECKS
    if top == "tests":
        there = path.name.startswith("test_") and (ROOT / name).exists()
        return [name if there else _room(path)]
    if top == "resnorm_lib":
        tests = _of_all(path) if len(path.parts) == 2 else OF_CHECKS if path.parts[1] == "checks" else [_room(path)]
        return [*tests, *[name] * (path.suffix == ".py"), "tests/test_floors.py"]
    if name == "conftest.py":
        return ["tests/book/test_nbval.py", "tests/book/test_figures.py"]
    if path.parts[:2] == ("book", "recorded"):
        return ["tests/book/test_records.py", *_own(path), *_users(path), *OF_THE_BOOK]
    if top == "book" or path.suffix in (".yml", ".yaml", ".toml") or name in ("Makefile", "requirements.txt"):
        return [
            *_own(path),
            *["tests/book/test_ext.py"] * (path.parts[:2] == ("book", "_ext")),
            *_users(path),
            *OF_THE_BOOK,
        ]
    return _users(path)


def _room(path):
    return f"tests/{path.parts[1]}" if len(path.parts) > 2 else "tests/test_floors.py"


def _own(path):
    """Return the tests that bear the name of a file, or of its folder."""
    return [f"tests/test_{path.stem}.py", f"tests/book/test_{path.stem}.py", f"tests/book/test_{path.parent.name}.py"]


def _of_all(path):
    """Return the tests of what lies above all rooms of the library: its own, and those of the rooms that use it."""
    rooms = {used.parts[1] for used in _that_name(path, "resnorm_lib") if len(used.parts) > 2}
    found = [*_own(path), *(f"tests/{room}" for room in PACKAGES if room in rooms), *_users(path)]
    spanning = (str(test.relative_to(ROOT)) for test in sorted(ROOT.glob("tests/test_*.py")))
    return found if any((ROOT / test).exists() for test in found) else spanning


def _users(path):
    """Return the tests that use a file, by themselves, by a helper or by a tool, but for those of the built pages."""
    used = [user for user in _that_name(path, "tests") if user.parts[1] != "site"]
    if path.suffix != ".py" and path.parts[0] == "book":
        used += _that_name(path, "book")
    return [test for user in used for test in ([str(user)] if user.name.startswith("test_") else _users(user))]


def _that_name(path, folder):
    """Return the Python files of a folder that import a module, or name another file."""
    if path.suffix == ".py":
        parts = path.with_suffix("").parts
        *above, last = map(re.escape, parts[:-1] if parts[-1] == "__init__" else parts)
        above = r"\.".join(above)
        sought = rf"\b{above}\.{last}\b|from {above} import (\([^)]*|.*)\b{last}\b"
    else:
        sought = rf"\b{re.escape(path.name if path.suffix else str(path))}\b"
    files = (file.relative_to(ROOT) for file in sorted((ROOT / folder).rglob("*.py")))
    return [file for file in files if file != path and re.search(sought, (ROOT / file).read_text(encoding="utf-8"))]


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
