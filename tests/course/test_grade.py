"""A folder of hand-ins becomes scores, feedback and tables, and no student can stop it or read what is expected."""

import csv
import os
import zipfile
from contextlib import nullcontext

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.nbgraderformat.v3 import MetadataValidatorV3

from resnorm_lib.course import __main__ as command
from resnorm_lib.course.grade import grade, hand_ins, ignored, known
from resnorm_lib.course.gradebook import fill
from resnorm_lib.course.key import read_key, write_key
from resnorm_lib.course.limits import Limits
from resnorm_lib.course.mend import mended
from resnorm_lib.course.report import TABLES, total, write_tables
from tests.course import students

KEY = {students.ASSIGNMENT.name: students.ASSIGNMENT}


@pytest.fixture(scope="module")
def scores(tmp_path_factory, house):
    folder = tmp_path_factory.mktemp("submitted")
    students.write(folder)
    return grade(folder, KEY, "secret", house, Limits(seconds=2))


@pytest.mark.parametrize("student", students.STUDENTS)
def test_every_student_gets_what_is_due(scores, student):
    assert total(scores)[student]["rank_collapse"] == students.STUDENTS[student][1]


@pytest.mark.parametrize(
    ("student", "told"),
    [
        ("right", "right: the distance of tokens"),
        ("stub", "There is no answer yet"),
        ("in-place", "changes its argument in place"),
        ("endless", "takes longer than 2 s"),
        ("exits", "raises RuntimeError in line 3: SystemExit"),
        ("kills", "ended its process"),
        ("syntax", "raises SyntaxError in line 1"),
        ("no-such-name", "raises NameError in line 2: name 'nowhere' is not defined (To an answer are known: what it"),
    ],
)
def test_the_first_exercise_is_told(scores, student, told):
    assert told in next(score.sentence for score in scores if score.student == student)


@pytest.mark.parametrize(
    ("student", "note"),
    [
        ("ids-lost", "had lost its id"),
        ("cell-missing", "is missing"),
        ("cell-twice", "was there 2 times"),
        ("no-notebook", "must be a notebook"),
        ("own-cell", "begin with % or !"),
        ("as-markdown", "was no code cell any more; it was read as one"),
        ("below-the-stub", "was empty, and another that defines distance_from_one_vector counts"),
    ],
)
def test_a_repair_is_noted(scores, student, note):
    assert any(note in each for score in scores if score.student == student for each in score.notes)


def test_what_a_student_says_of_names_is_no_missing_name(scores):
    (told,) = [score.sentence for score in scores if score.student == "speaks-of-names" and score.worth == 1]
    assert told.endswith("it raises NameError")


def test_of_two_filled_cells_the_last_counts_and_a_stub_that_came_back_does_not(house, tmp_path):
    first = "def distance_from_one_vector(x):\n    return 0"
    cells = [students.code(source, students.CELLS[0]) for source in (first, students.DISTANCE)]
    cells.append(students.code(f"# again\n{students.STUBS[0]}", students.CELLS[0]))
    path = tmp_path / "someone" / "rank_collapse.ipynb"
    path.parent.mkdir()
    path.write_text(students.notebook(*cells))
    assert grade(tmp_path, KEY, "secret", house)[0].points == 1


def graded(name, text, kind="markdown", **marks):
    """Return a cell as it is handed out."""
    cell = students.code(text, name, kind)
    cell["metadata"]["nbgrader"]["solution"] = "points" in marks
    cell["metadata"]["nbgrader"] |= {"schema_version": 3, "grade": "points" in marks, "locked": False} | marks
    return cell


WORDS = graded("answer-words", "*Write your answer here.*", points=2)
ASKED = [
    graded("setup", "import torch", "code"),
    graded("task-words", "Why?"),
    WORDS,
    *(graded(name, stub, "code", points=1) for name, stub in zip(students.CELLS, students.STUBS)),
]
ASSIGNMENT = students.ASSIGNMENT._replace(cells=ASKED)


def mended_cells(folder, *cells):
    path = folder / "rank_collapse.ipynb"
    path.write_text(students.notebook(*cells))
    made = nbformat.from_dict(mended(path, ASSIGNMENT))
    MetadataValidatorV3().validate_nb(made)
    nbformat.validate(made)
    kept = [cell for cell in made.cells if "nbgrader" in cell.metadata]
    assert [cell.id for cell in kept] == [cell["id"] for cell in ASKED], "every cell that was handed out, once"
    assert [cell.metadata for cell in kept] == [cell["metadata"] for cell in ASKED]
    assert [cell.cell_type for cell in kept] == [cell["cell_type"] for cell in ASKED]
    return [cell.source for cell in kept[2:]], [cell.source for cell in made.cells if cell not in kept]


def test_a_notebook_with_a_cell_twice_is_mended_for_nbgrader(tmp_path):
    doubled = [students.code(source, students.CELLS[0]) for source in (students.DISTANCE, students.STUBS[0])]
    words = [students.code(text, "answer-words", "markdown") for text in ("Thus.", "*Write your answer here.*")]
    kept, own = mended_cells(tmp_path, *ASKED[:2], *words, *doubled, students.code("x = 1"))
    assert kept == ["Thus.", students.DISTANCE, students.STUBS[1]]
    assert own == ["*Write your answer here.*", students.STUBS[0], "x = 1"]


def test_a_notebook_that_has_lost_every_id_is_mended_for_nbgrader(tmp_path):
    own = students.code("A note.", kind="markdown"), students.code("x = 1")
    filled = [*ASKED[:2], WORDS | {"source": "Because of the norm."}, *students.cells()]
    bare = [{**cell, "metadata": {}} for cell in (own[1], *filled, *own)]
    for cell in bare:
        del cell["id"]
    kept, others = mended_cells(tmp_path, *bare)
    assert kept == ["Because of the norm.", students.DISTANCE, students.SHARE]
    assert others == ["x = 1", "A note.", "x = 1"]


def test_cells_that_were_turned_into_another_kind_are_turned_back(tmp_path):
    turned = [WORDS | {"cell_type": "raw"}, students.code(students.DISTANCE, students.CELLS[0], "markdown")]
    kept, others = mended_cells(tmp_path, *turned)
    assert kept == [WORDS["source"], students.DISTANCE, students.STUBS[1]]
    assert not others


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_tables_have_the_columns_of_the_platforms(scores, tmp_path):
    roster = {"right": {"name": "=R", "id": "7", "email": "r@example.org", "section": "A"}}
    write_tables(tmp_path, scores, KEY, roster, TABLES)
    canvas = read(tmp_path / "canvas.csv")
    assert canvas[0] == ["Student", "ID", "SIS Login ID", "Section", "When all tokens become one"]
    assert canvas[1] == ["    Points Possible", "", "", "", "3"]
    assert ["'=R", "7", "right", "A", "3"] in canvas
    assert ["right", "r@example.org", "3"] in read(tmp_path / "moodle.csv")
    assert len(read(tmp_path / "scores.csv")) == 1 + len(scores)


def test_feedback_is_a_page_each_and_says_nothing_to_a_browser(scores, tmp_path):
    forged = [scores[0]._replace(student="right", sentence="<script>alert(1)</script>", back="")]
    write_tables(tmp_path, [*forged, *scores], KEY, {}, {})
    page = (tmp_path / "feedback" / "right" / "rank_collapse.html").read_text(encoding="utf-8")
    assert "4 of 4 points" in page
    assert "<script>" not in page


MOODLE, CANVAS = "Ada Lovelace_412_assignsubmission_file", "noetheremmy_LATE_77_9041_rank_collapse"
ROSTER = {"ada": {"name": "Ada Lovelace", "id": "76"}, "emmy": {"name": "Emmy Noether", "id": "77"}}


def test_hand_ins_as_platforms_pack_them_are_taken_and_their_feedback_goes_back_under_their_names(house, tmp_path):
    save(tmp_path, f"{MOODLE}/rank_collapse.ipynb", f"{CANVAS}.ipynb", "own/rank_collapse.ipynb")
    scores = known(grade(tmp_path, KEY, "secret", house), ROSTER)
    assert total(scores) == {name: {"rank_collapse": 3} for name in ("ada", "emmy", "own")}
    write_tables(tmp_path / "out", scores, KEY, ROSTER, {})
    with zipfile.ZipFile(tmp_path / "out/feedback/rank_collapse.zip") as bundle:
        pages = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert sorted(pages) == sorted([f"{MOODLE}/rank_collapse.html", f"{CANVAS}.html", "own/rank_collapse.html"])
    assert "ada: 3 of 3 points" in pages[f"{MOODLE}/rank_collapse.html"]


@pytest.mark.parametrize(
    "name", ["de_la_cruzana_77_9041", "de_la_cruzana_LATE_77_9041", "anon_x7Kq2_9041", "LATE_anon_x7Kq2_9041"]
)
def test_hand_ins_of_canvas_are_told_apart_whatever_their_students_are_called(tmp_path, name):
    save(tmp_path, f"{name}_rank_collapse.ipynb", f"{name}_rank_collapse-1.ipynb")
    (found,) = hand_ins(tmp_path, KEY)
    assert found.student == name.replace("LATE_", "").removesuffix("_9041")
    assert found.path.stem == f"{name}_rank_collapse-1"


def test_of_two_students_with_one_name_none_gets_the_others_marks(scores):
    ways = [f"Ada Lovelace_{number}_assignsubmission_file/rank_collapse.html" for number in (412, 413)]
    two = [scores[0]._replace(student=way, back=way) for way in ways]
    assert known(two, ROSTER) == two
    twice = ROSTER | {"another": {"name": "Ada Lovelace", "id": ""}}
    assert known(two[:1], twice) == two[:1]


def test_the_command_grades_a_folder_and_grades_it_again_alike(tmp_path, capsys, monkeypatch, house):
    monkeypatch.setattr(command, "House", lambda: nullcontext(house))
    path = tmp_path / "submitted" / "right" / "rank_collapse.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(students.both())
    write_key(tmp_path / "key.json", [students.ASSIGNMENT])
    assert read_key(tmp_path / "key.json") == KEY
    words = ["grade", str(tmp_path / "submitted"), "--key", str(tmp_path / "key.json"), "--out", str(tmp_path / "out")]
    command.main(words)
    assert "right: rank_collapse 3\n" in capsys.readouterr().out
    secret = (tmp_path / "out" / "secret.txt").read_text()
    assert command._secret(tmp_path / "out" / "secret.txt") == secret.strip()


def test_the_command_mends_a_folder_and_leaves_out_what_is_no_notebook(tmp_path, capsys):
    for student in ("cell-twice", "no-notebook", "half-character-in-the-file", "deep-own-cell"):
        path = tmp_path / "submitted" / student / "rank_collapse.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(students.STUDENTS[student][0])
    (tmp_path / "submitted" / "cell-twice" / "timestamp.txt").write_text("2026-11-27 12:00:00 UTC")
    write_key(tmp_path / "key.json", [students.ASSIGNMENT])
    words = ["mend", str(tmp_path / "submitted"), "--key", str(tmp_path / "key.json"), "--out", str(tmp_path / "out")]
    (tmp_path / "submitted" / "cell-twice" / "notes.ipynb").write_text("{}")
    command.main(words)
    said = capsys.readouterr().out
    assert "no-notebook is left out: path must be a notebook" in said
    assert "Not graded: cell-twice/notes.ipynb: no assignment has this name." in said
    written = sorted(path.parent.parent.name for path in tmp_path.glob("out/*/*/*.ipynb"))
    assert written == ["cell-twice", "deep-own-cell", "half-character-in-the-file"]
    assert [path.name for path in tmp_path.glob("out/*/*/*.txt")] == ["timestamp.txt"], "nbgrader asks for it later"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--key", "nowhere.json"], "key must be the key.json that `make course` writes"),
        (["--roster", "key.json"], "roster must be a CSV with a column named student"),
        ([], "folder must hold hand-ins, as in .*student/rank_collapse.ipynb"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_key(tmp_path / "key.json", [students.ASSIGNMENT])
    with pytest.raises(SystemExit, match=told):
        command.main(["grade", str(tmp_path), "--key", "key.json", *words])


def save(folder, *names):
    """Write right hand-ins, each a minute later than the one before."""
    for minute, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(students.both())
        os.utime(path, (60 * minute, 60 * minute))


def test_checkpoints_and_other_notebooks_are_no_hand_ins_and_the_others_are_reported(tmp_path):
    save(tmp_path, "a/rank_collapse.ipynb", "a/.ipynb_checkpoints/rank_collapse.ipynb")
    save(tmp_path, "a/other.ipynb", "rank_collapse.ipynb", "b/rank_collapse_mine.ipynb")
    assert [each.path for each in hand_ins(tmp_path, KEY)] == [tmp_path / "a/rank_collapse.ipynb"]
    assert ignored(tmp_path, KEY) == [
        "a/other.ipynb: no assignment has this name",
        "b/rank_collapse_mine.ipynb: no assignment has this name",
        "rank_collapse.ipynb: it lies in no student's folder",
    ]


@pytest.mark.parametrize("end", [" (1)", "(2)", "-1", " 2", "-Copy1"])
def test_a_name_that_a_second_download_has_is_taken(end, tmp_path):
    save(tmp_path, f"b/rank_collapse{end}.ipynb")
    (found,) = hand_ins(tmp_path, KEY)
    assert (found.student, found.assignment.name, found.notes) == ("b", "rank_collapse", [])


def test_of_two_notebooks_of_a_student_the_last_counts_once(tmp_path, house):
    save(tmp_path, "a/again/rank_collapse.ipynb", "a/rank_collapse.ipynb", "b/rank_collapse.ipynb")
    (tmp_path / "a/again/rank_collapse.ipynb").write_text(students.both(*students.STUBS))  # saved now
    scores = grade(tmp_path, KEY, "secret", house)
    assert total(scores) == {"a": {"rank_collapse": 0}, "b": {"rank_collapse": 3}}
    told = "again/rank_collapse.ipynb counts, which was saved last, and not rank_collapse.ipynb."
    assert [score.notes for score in scores] == [[told], [told], [], []]


def test_of_two_notebooks_of_the_same_second_the_higher_number_counts(tmp_path):
    names = [f"a/rank_collapse{end}.ipynb" for end in (" (10)", " (9)", "")]
    save(tmp_path, *names)
    for name in names:
        os.utime(tmp_path / name, (0, 0))
    assert hand_ins(tmp_path, KEY)[0].path == tmp_path / names[0]


def test_everything_is_written_whatever_a_hand_in_holds(scores, tmp_path):
    write_tables(tmp_path, scores, KEY, {}, TABLES)
    page = (tmp_path / "feedback/half-character/rank_collapse.html").read_text()
    assert "raises ValueError in line 2: \\ud800<" in page
    assert len(list(tmp_path.glob("feedback/*/*.html"))) == len(students.STUDENTS)


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # of nbgrader's own
def test_scores_go_into_nbgraders_gradebook_and_again_change_nothing(scores, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])  # the call lengthens it
    database = f"sqlite:///{tmp_path / 'gradebook.db'}"
    with pytest.raises(ValueError, match="run `nbgrader generate_assignment rank_collapse` first"):
        fill(database, scores, KEY)
    with Gradebook(database) as book:
        book.add_assignment("rank_collapse")
        book.add_notebook("rank_collapse", "rank_collapse")
        for task in students.TASKS:
            book.add_grade_cell(task.cell, "rank_collapse", "rank_collapse", max_score=task.points, cell_type="code")
    for _ in range(2):
        assert fill(database, scores, KEY) == len(scores)
    with Gradebook(database) as book:
        marks = {each.student.id: each.score for each in book.assignment_submissions("rank_collapse")}
    assert marks == {student: points for student, (_, points) in students.STUDENTS.items()}
