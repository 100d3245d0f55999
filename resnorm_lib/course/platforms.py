"""What learning platforms call a hand-in, by which they find the student when its feedback comes back."""

import re
from collections import Counter
from pathlib import Path

__all__ = ["canvas_owner", "named_by_roster", "way_back"]

# A folder of Moodle's download: full name, number of the participant in this assignment; before 4.1 it ended with "_".
_MOODLE = re.compile(r"([^_/]+)_\d+_assignsubmission_file_?/")
# A file of Canvas's download: name, numbers of the user and of the file, and how the student called it. Where students
# are anonymous, a word stands for both name and number.
_CANVAS = re.compile(r"(?:LATE_)?(anon_[0-9A-Za-z]+|[^/]+?_(?:LATE_)?(\d+))_\d+_([^/]+)$")


def canvas_owner(name: str) -> tuple[str, str]:
    """Return who handed in a file of Canvas's download and the student's own name for it; no one for another file.

    Examples
    --------
    >>> canvas_owner("lovelaceada_77_9041_rank_collapse.ipynb")
    ('lovelaceada_77', 'rank_collapse.ipynb')
    >>> canvas_owner("rank_collapse.ipynb")
    ('', 'rank_collapse.ipynb')
    >>> canvas_owner("LATE_anon_x7Kq2_9041_rank_collapse.ipynb")
    ('anon_x7Kq2', 'rank_collapse.ipynb')
    """
    found = _CANVAS.match(name)
    return (found[1].replace("_LATE_", "_"), found[3]) if found else ("", name)


def way_back(student: str, path: Path, assignment: str) -> str:
    """Return the name of a page of feedback in the zip that a platform takes.

    Moodle reads the folder, which bears the name of the one handed in; Canvas the numbers before the file's own name.

    Examples
    --------
    >>> way_back("ada", Path("submitted/ada/rank_collapse.ipynb"), "rank_collapse")
    'ada/rank_collapse.html'
    >>> way_back("lovelaceada_77", Path("submitted/lovelaceada_77_9041_rank_collapse.ipynb"), "rank_collapse")
    'lovelaceada_77_9041_rank_collapse.html'
    """
    return f"{path.stem}.html" if canvas_owner(path.name)[0] else f"{student}/{assignment}.html"


def named_by_roster(ways: list[str], roster: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the roster's student for each way back that leads to exactly one, of an assignment's hand-ins.

    Moodle's folders have the full name, Canvas's files the number that the roster's column ``id`` has.

    Examples
    --------
    >>> roster = {"ada": {"name": "Ada Lovelace", "id": "77"}}
    >>> named_by_roster(["Ada Lovelace_412_assignsubmission_file/rank_collapse.html"], roster)
    {'Ada Lovelace_412_assignsubmission_file/rank_collapse.html': 'ada'}
    """
    by_id = {f"canvas {row['id']}": student for student, row in roster.items() if row.get("id")}
    names = Counter(row.get("name") for row in roster.values())
    by_name = {f"moodle {name}": s for s, row in roster.items() if names[name := row.get("name")] == 1 and name}
    known, said = by_id | by_name, {way: _said(way) for way in ways}
    often = Counter(said.values())
    return {way: known[who] for way, who in said.items() if who in known and often[who] == 1}


def _said(way: str) -> str:
    """Return what a way back says of the student, or itself."""
    if found := _MOODLE.match(way):
        return f"moodle {found[1]}"
    found = _CANVAS.match(way)
    return f"canvas {found[2]}" if found and found[2] else way
