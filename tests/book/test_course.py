"""Assignments: no answer in what students get, all answers in what instructors get; nbgrader makes one of the other."""

import ast
import builtins
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.nbgraderformat.v3 import MetadataValidatorV3
from nbgrader.preprocessors import ClearSolutions

from book._tools.cells import read
from book._tools.course import __main__ as course
from book._tools.course.bank import banks
from book._tools.course.exercises import exercises, predictions
from book._tools.course.given import lacking, named, needed
from book._tools.course.notebooks import FACES, assignment, notebook
from book._tools.course.rubrics import rubrics
from book._tools.course.slides import slides, write_slides
from resnorm_lib.course.answer import House
from resnorm_lib.course.grade import grade
from resnorm_lib.course.key import read_key
from resnorm_lib.course.limits import Limits
from resnorm_lib.course.names import bound, free, used
from tests.book import sources

CHAPTERS = [path for path in sources.chapters() if exercises(read(path))]
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def statements(source):
    """Return the statements of a source as syntax trees, without those that say nothing: imports, docstrings, pass."""
    trees = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    silent = (ast.Import, ast.ImportFrom, ast.Pass)
    constant = [node for node in trees if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return {ast.dump(node) for node in trees if not isinstance(node, silent) and node not in constant}


def code(made):
    return [cell.source for cell in made.cells if cell.cell_type == "code"]


def run(made):
    """Run the cells of an assignment; return what its checks say, by the ids of their cells."""
    names, said = {}, {}
    for cell in made.cells:
        if cell.cell_type == "code":
            *body, last = ast.parse(cell.source).body
            exec(compile(ast.Module(body, []), cell.id, "exec"), names)
            if cell.id.startswith("check-"):
                said[cell.id] = eval(compile(ast.Expression(last.value), cell.id, "eval"), names)
            else:
                exec(compile(ast.Module([last], []), cell.id, "exec"), names)
    return said


@each_chapter
def test_no_line_of_a_solution_is_in_a_student_notebook(path):
    chapter = read(path)
    shown = [
        cell for cell in chapter.cells if cell.cell_type == "code" and "solution" not in cell.metadata.get("tags", [])
    ]
    on_the_page = set().union(*(statements(cell.source) for cell in shown))
    asked = exercises(chapter)
    answers = [text for each in asked for kind, text in each.solution if kind == "code"]
    checked = statements("\n".join(f"{each.check}({each.name})" for each in asked if each.stub))
    solved = set().union(*map(statements, answers)) - on_the_page - checked
    made = notebook(path.stem, chapter, "student")
    assert solved
    given = solved & set().union(*map(statements, code(made)))
    assert not given
    prose = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    told = [text for each in asked for kind, text in each.solution if kind == "markdown"]
    assert not [text for text in told if text in prose]


def test_a_line_of_a_solution_would_be_seen():
    assert statements("def f(x):\n    '''Doc.'''\n    import math\n    return x+1") & statements("return(x + 1)")


@each_chapter
def test_student_notebooks_run_and_every_stub_is_told_to_be_none(path):
    said = run(notebook(path.stem, read(path), "student"))
    assert said
    assert all(not verdict and "There is no answer yet" in verdict.sentence for verdict in said.values())


@each_chapter
def test_a_student_notebook_defines_every_name_that_its_cells_use(path):
    have = set(dir(builtins))
    for source in code(notebook(path.stem, read(path), "student")):
        assert not free(source) - have
        have |= bound(source)


@each_chapter
def test_what_an_exercise_names_or_its_answer_uses_is_there_or_it_is_said_what_is_not(path):
    chapter = read(path)
    made = notebook(path.stem, chapter, "student")
    texts = {cell.id: cell.source for cell in made.cells}
    have = {*dir(builtins), "__name__"} | bound(texts["setup"])
    for each in exercises(chapter):
        words = re.findall(r"`([a-z_]\w*)\.(?:run|config)\(?", each.task)
        assert not set(words) - have, f"{each.label} says to use it"
        solution = [text for kind, text in each.solution if kind == "code"]
        told = set(re.findall(r"`(\w+)`", texts[f"task-{each.slug}"].rpartition("The chapter computes")[2]))
        wanted = used([each.stub, *solution]) - have - told
        assert not wanted, each.label
        have |= set().union(*map(bound, [each.stub, *solution]))


def test_a_set_up_takes_data_and_functions_and_nothing_that_is_trained():
    body = """from resnorm_lib.data import load_digits
from resnorm_lib.experiments import get
draw = load_digits(1)
data = load_digits(2)
try:
    x = data.x
except ValueError as missing:
    print(missing)
def mean(x): return x.mean()
def steep(net): return grad_of(net)
def grad_of(net): net(data).backward(); return net
level = mean(x)
net = steep(5)
fitted = data.fit(3)
def uses(): return net
made = {"a": 1}
for each in range(3):
    made[each] = each
draw = load_digits(3)
experiment = get("digits")"""
    source = new_notebook(cells=[new_code_cell(body)])
    given = needed(source, ["y = level + draw"]).splitlines()
    assert "draw = load_digits(3)" in given
    assert "draw = load_digits(1)" not in given
    assert "level = mean(x)" in given
    assert needed(source, ["uses()", "fitted"]).strip() == ""
    assert lacking(source, ["net = 1", "net + level + fitted + uses()"]) == ["fitted", "uses"]
    assert lacking(source, ["made"]) == ["made"]
    assert named(source, "Use `experiment.run(x)`, `mean` or `data`; mean is no code.") == ["experiment", "mean"]


@each_chapter
def test_every_answer_of_an_instructor_is_right(path):
    said = run(notebook(path.stem, read(path), "instructor"))
    assert all(said.values()), [verdict for verdict in said.values() if not verdict]


@each_chapter
def test_nbgrader_makes_the_student_notebook_of_its_source(path):
    chapter = read(path)
    made = notebook(path.stem, chapter, "nbgrader")
    clear = ClearSolutions(code_stub={"python": ""}, text_stub="*Write your answer here.*")
    cleared, _ = clear.preprocess(made, {})
    wanted = notebook(path.stem, chapter, "student")
    assert [(cell.id, cell.source.strip()) for cell in cleared.cells] == [
        (cell.id, cell.source.strip()) for cell in wanted.cells
    ]


@each_chapter
@pytest.mark.parametrize("face", FACES)
def test_every_cell_has_an_id_of_its_own_and_marks_that_nbgrader_takes(path, face):
    made = notebook(path.stem, read(path), face)
    MetadataValidatorV3().validate_nb(made)
    assert len({cell.id for cell in made.cells}) == len(made.cells)
    assert {cell.id for cell in made.cells} == {cell.metadata.nbgrader.grade_id for cell in made.cells}


@each_chapter
def test_every_exercise_and_every_prediction_has_a_cell_to_answer_in(path):
    chapter = read(path)
    made = notebook(path.stem, chapter, "student")
    graded = [cell for cell in made.cells if cell.metadata.nbgrader.grade]
    assert len(graded) == len(exercises(chapter)) + len(predictions(chapter))
    assert all(cell.metadata.nbgrader.points > 0 and not cell.metadata.nbgrader.locked for cell in graded)


def test_the_grader_gives_instructors_full_marks_and_stubs_none(tmp_path):
    key = {}
    for path in CHAPTERS:
        chapter = read(path)
        key[path.stem] = assignment(path.stem, chapter)
        for face in ("student", "instructor"):
            (tmp_path / face).mkdir(exist_ok=True)
            nbformat.write(notebook(path.stem, chapter, face), tmp_path / face / path.name)
    with House() as house:
        scores = grade(tmp_path, key, "secret", house)
    assert len(scores) == 2 * sum(len(each.tasks) for each in key.values())
    for score in scores:
        assert score.points == (score.worth if score.student == "instructor" else 0), score


def test_an_answer_may_use_every_name_of_its_notebooks_first_cell(tmp_path):
    key, uses = {}, {}
    for path in CHAPTERS:
        chapter = read(path)
        made = notebook(path.stem, chapter, "instructor")
        key[path.stem] = assignment(path.stem, chapter)._replace(tasks=assignment(path.stem, chapter).tasks[:1])
        setup = next(cell.source for cell in made.cells if cell.id == "setup")
        errors = {each.name for each in ast.walk(ast.parse(setup)) if isinstance(each, ast.ExceptHandler)}
        names = bound(setup) - errors
        uses[path.stem] = sorted(name for name in names if not name.startswith("_"))
        for cell in made.cells:
            if cell.id == key[path.stem].tasks[0].cell:
                cell.source = f"KNOWN = ({', '.join(uses[path.stem])},)\n{cell.source}"
        (tmp_path / "someone").mkdir(exist_ok=True)
        nbformat.write(made, tmp_path / "someone" / path.name)
    assert all(len(names) > 2 for names in uses.values())
    with House() as house:
        for score in grade(tmp_path, key, "secret", house, Limits(seconds=120)):
            assert score.points == score.worth, score


def test_what_an_exercise_needs_is_found_through_functions():
    body = "import math\nK = 2\ndef g(x):\n    return math.sqrt(x) * K\nrun = g(3)"
    source = new_notebook(cells=[new_code_cell(body)])
    assert needed(source, ["def f(x):\n    K = 1\n    return g(run)"]).splitlines()[:2] == ["import math", "K = 2"]
    assert free("def f(x):\n    y = x\n    return h(y)") == {"h"}


def test_every_exercise_in_words_has_a_rubric_of_three_levels_with_an_example():
    in_words = {each.label for path in CHAPTERS for each in exercises(read(path)) if not each.stub}
    assert not in_words - rubrics().keys(), "no rubric"
    assert not rubrics().keys() - in_words, "no such exercise"
    for label, levels in rubrics().items():
        assert set(levels) == {"full", "half", "none"}, label
        assert "".join(levels.values()).count('"') >= 2, f"{label} has no example"


@pytest.mark.parametrize("path", CHAPTERS[::6], ids=lambda path: path.stem)
def test_slides_have_the_question_predictions_figures_and_claims_of_a_chapter(path):
    about = [cell.source for cell in slides(path.stem, read(path)).cells]
    assert about[0].startswith("# ")
    assert sum("<img alt=" in text for text in about) >= 2
    assert any("Predict first" in text for text in about)
    assert any(text.startswith("**Measured**") for text in about)


def test_everything_is_written(tmp_path, capsys, monkeypatch):
    decks = {}
    monkeypatch.setattr(course, "slides", lambda name, _: name)  # they take a second each
    monkeypatch.setattr(course, "write_slides", lambda _, made: decks.update(made))
    course.write(tmp_path)
    assert list(decks) == [path.stem for path in CHAPTERS]
    colab = nbformat.read(tmp_path / "colab" / "rank_collapse.ipynb", as_version=4)
    student = nbformat.read(tmp_path / "student" / "rank_collapse.ipynb", as_version=4)
    assert [cell.id for cell in colab.cells] == [student.cells[0].id, "install", *(c.id for c in student.cells[1:])]
    assert {"student", "colab", "instructor", "nbgrader", "key.json"} == {path.name for path in tmp_path.iterdir()}
    assert list(read_key(tmp_path / "key.json")) == [path.stem for path in (*CHAPTERS, *banks())]
    assert (tmp_path / "nbgrader" / "source" / "rank_collapse" / "rank_collapse.ipynb").exists()
    assert capsys.readouterr().out.startswith(f"{len(CHAPTERS) + len(banks())} assignments are in ")


def test_a_face_that_is_none_is_refused():
    with pytest.raises(ValueError, match="face is 'teacher', but it must be one of student"):
        notebook(CHAPTERS[0].stem, read(CHAPTERS[0]), "teacher")


def test_slides_show_figures_with_their_captions_and_need_no_network(tmp_path):
    figure = new_code_cell("plot()", outputs=[new_output("display_data", {"image/png": "AAAA"})])
    figure.metadata["mystnb"] = {"image": {"alt": "A line."}, "figure": {"caption": "It *falls* as $1/L$."}}
    claimed = new_code_cell("claim()", outputs=[new_output("stream", text="holds  a.b  it falls  1 <= 2  [key]\n")])
    cells = [
        new_markdown_cell("# Title\n\n**The question.** Why?\n\nText."),
        new_markdown_cell("## Section\n\nIt falls. More.\n\n$$\nx^2\n$$ (eq-x)"),
        new_markdown_cell("**Predict first:** how fast?"),
        new_markdown_cell("No slide."),
        new_markdown_cell("A slide.", metadata={"tags": ["slide"]}),
        figure,
        claimed,
        new_markdown_cell("## Summary\n\n- It falls.\n- It rises."),
        new_markdown_cell("## Exercises\n\nText."),
        new_markdown_cell("An exercise.", metadata={"tags": ["exercise"]}),
    ]
    deck = slides("degradation", new_notebook(cells=cells))
    shown = [cell.source for cell in deck.cells]
    assert shown[0] == "# Title\n\n> Why?"
    assert shown[1].startswith("## Section\n\nIt falls.\n\n<math")
    assert shown[1].endswith("> **Predict first:** how fast?")
    assert shown[2] == "A slide."
    assert shown[3].startswith('<img alt="A line." src="data:image/png;base64,AAAA">\n\n<small>It *falls* as <math')
    assert shown[4:] == ["**Measured**\n\n- it falls: **1 <= 2**", "## Summary\n\n- It falls.\n- It rises."]
    write_slides(tmp_path, {"a": deck})
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"]*", page)) == {"http://www.w3.org/1998/Math/MathML"}
    assert "mtd:nth-child(odd) { text-align: right" in (tmp_path / "slides.css").read_text(encoding="utf-8")
    for part in [*re.findall(r'(?:href|src)="([^"#]+)"', page), "reveal.js/LICENSE", "formulas.woff2"]:
        assert part.startswith("data:") or (tmp_path / part).exists(), part
    assert "url(http" not in (tmp_path / "reveal.js/dist/theme/white.css").read_text(encoding="utf-8")
