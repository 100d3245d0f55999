"""``python -m resnorm_lib.course grade FOLDER``: grade a folder of hand-ins."""

import argparse
import csv
import secrets
import sys
import tomllib
from pathlib import Path

from resnorm_lib.course.answer import House
from resnorm_lib.course.grade import grade
from resnorm_lib.course.gradebook import fill
from resnorm_lib.course.key import read_key
from resnorm_lib.course.limits import Limits
from resnorm_lib.course.report import TABLES, total, write_tables

__all__ = ["main"]


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m resnorm_lib.course", description="Grade hand-ins.")
    command = parser.add_subparsers(required=True).add_parser("grade", help="score a folder of hand-ins")
    command.add_argument("folder", type=Path, help="hand-ins: FOLDER/student/.../assignment.ipynb")
    command.add_argument("--key", type=Path, default=Path("_build/course/key.json"), help="written by make course")
    command.add_argument("--out", type=Path, default=Path("_build/graded"), help="where scores and feedback go")
    command.add_argument("--secret", type=Path, help="file with the secret of the hidden cases; OUT/secret.txt if none")
    command.add_argument("--roster", type=Path, help="CSV with a column student, and name, id, email, section")
    command.add_argument("--gradebook", help="nbgrader's database, as in sqlite:///gradebook.db, to enter scores in")
    command.add_argument("--tables", type=Path, help="TOML with the columns of each platform's table")
    command.add_argument("--seconds", type=float, default=10.0, help="for all calls of one answer (10)")
    command.add_argument("--megabytes", type=int, default=1024, help="of memory for one answer (1024)")
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


def main(words: list[str] | None = None) -> None:
    """Run the command line."""
    chosen = _arguments(words)
    try:
        key, roster = read_key(chosen.key), _roster(chosen.roster)
        tables = tomllib.loads(chosen.tables.read_text(encoding="utf-8")) if chosen.tables else TABLES
        limits = Limits(seconds=chosen.seconds, megabytes=chosen.megabytes)
        with House() as house:
            scores = grade(chosen.folder, key, _secret(chosen.secret or chosen.out / "secret.txt"), house, limits)
            apart = house.apart
        if chosen.gradebook:
            print(f"{fill(chosen.gradebook, scores, key)} scores are in nbgrader's gradebook.")
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    write_tables(chosen.out, scores, key, roster, tables)
    for student, row in total(scores).items():
        print(f"{student}: " + ", ".join(f"{name} {points}" for name, points in row.items()))
    if not apart:
        print("This system did not let answers run without a network; see the guide.")
    print(f"Scores, tables and feedback are in {chosen.out}.")


if __name__ == "__main__":
    main()
