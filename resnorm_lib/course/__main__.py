"""Grade hand-ins: ``python -m resnorm_lib.course grade FOLDER``; ``mend FOLDER`` readies them for nbgrader."""

import argparse
import csv
import json
import secrets
import shutil
import sys
import tomllib
from pathlib import Path

from resnorm_lib._pipe import until_the_reader_leaves
from resnorm_lib.course.answer import House
from resnorm_lib.course.grade import grade, hand_ins, ignored, known
from resnorm_lib.course.gradebook import fill
from resnorm_lib.course.hand_in import readable
from resnorm_lib.course.key import Assignment, read_key
from resnorm_lib.course.limits import Limits
from resnorm_lib.course.mend import mended
from resnorm_lib.course.report import TABLES, total, write_tables

__all__ = ["main"]

# What nbgrader collects beside a notebook: when it was handed in, and the word without which no feedback goes back.
BESIDE = ("timestamp.txt", "submission_secret.txt")


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m resnorm_lib.course", description="Grade hand-ins.")
    commands = parser.add_subparsers(required=True)
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument(
        "folder", type=Path, help="hand-ins: FOLDER/student/.../assignment.ipynb, or as Moodle or Canvas packs them"
    )
    both.add_argument("--key", type=Path, default=Path("_build/course/key.json"), help="written by make course")
    mend = commands.add_parser("mend", parents=[both], help="write hand-ins anew, as nbgrader takes them")
    mend.add_argument("--out", type=Path, default=Path("_build/mended"), help="where they go")
    mend.set_defaults(run=_mend)
    command = commands.add_parser("grade", parents=[both], help="score a folder of hand-ins")
    command.add_argument("--out", type=Path, default=Path("_build/graded"), help="where scores and feedback go")
    command.add_argument("--secret", type=Path, help="file with the secret of the hidden cases; OUT/secret.txt if none")
    command.add_argument("--roster", type=Path, help="CSV with a column student, and name, id, email, section")
    command.add_argument("--gradebook", help="nbgrader's database, as in sqlite:///gradebook.db, to enter scores in")
    command.add_argument("--tables", type=Path, help="TOML with the columns of each platform's table")
    command.add_argument("--seconds", type=float, default=10.0, help="for all calls of one answer (10)")
    command.add_argument("--megabytes", type=int, default=1024, help="of memory for one answer (1024)")
    command.set_defaults(run=_grade)
    return parser.parse_args(words)


def _secret(path: Path) -> str:
    """Return the secret in a file; make one if there is no file, so that grading again draws the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(16) + "\n", encoding="utf-8")
        path.chmod(0o600)
    return path.read_text(encoding="utf-8").strip()


def _roster(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None:
        return {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or "student" not in rows[0]:
        raise ValueError(f"roster must be a CSV with a column named student, but {path} has none.")
    return {row["student"]: row for row in rows}


def _mend(chosen: argparse.Namespace) -> None:
    """Write all hand-ins anew; one that is no notebook is left out."""
    key = read_key(chosen.key)
    for student, assignment, path, notes, _ in hand_ins(chosen.folder, key):
        for note in notes:
            print(readable(f"{student}: {note}"))
        try:
            notebook = mended(path, assignment)
            text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        except (ValueError, RecursionError) as error:
            print(readable(f"{student} is left out: {error}"))
            continue
        place = chosen.out / student / assignment.name / f"{assignment.name}.ipynb"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8", errors="replace")  # nbgrader stops at half a character
        for name in BESIDE:
            if (path.parent / name).is_file():
                shutil.copyfile(path.parent / name, place.parent / name)
    _tell_ignored(chosen.folder, key)
    print(f"Hand-ins as nbgrader takes them are in {chosen.out}.")


def _tell_ignored(folder: Path, key: dict[str, Assignment]) -> None:
    for line in ignored(folder, key):
        print(readable(f"Not graded: {line}."))


def _grade(chosen: argparse.Namespace) -> None:
    key, roster = read_key(chosen.key), _roster(chosen.roster)
    tables = tomllib.loads(chosen.tables.read_text(encoding="utf-8")) if chosen.tables else TABLES
    limits = Limits(seconds=chosen.seconds, megabytes=chosen.megabytes)
    with House() as house:
        scores = grade(chosen.folder, key, _secret(chosen.secret or chosen.out / "secret.txt"), house, limits)
        apart, shut = house.apart, house.shut
    scores = known(scores, roster)
    if chosen.gradebook:
        print(f"{fill(chosen.gradebook, scores, key)} scores are in nbgrader's gradebook.")
    write_tables(chosen.out, scores, key, roster, tables)
    for student, row in total(scores).items():
        print(f"{student}: " + ", ".join(f"{name} {points}" for name, points in row.items()))
    _tell_ignored(chosen.folder, key)
    if not apart:
        print("This system did not let answers run without a network; see the guide.")
    if not shut:
        print("This system did not keep answers from the files that you can read and write; see the guide.")
    print(f"Scores, tables and feedback are in {chosen.out}.")


def main(words: list[str] | None = None) -> None:
    """Run the command line."""
    try:
        with until_the_reader_leaves():
            chosen = _arguments(words)
            chosen.run(chosen)
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
