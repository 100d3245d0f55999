"""The chapters have none of the faults that a run or a build passes over; each such fault, planted, is named."""

import nbformat
import pytest

from book._tools.cells import read
from tests.book import notebooks, outputs, planted, sources

CHECKS = [
    outputs.every_cell_ran_in_order,
    outputs.outputs_are_clean,
    outputs.text_is_reproducible,
    outputs.claims_are_true_as_printed,
    outputs.exemptions_are_few_and_explained,
    outputs.figures_are_described,
    notebooks.code_cells_are_short,
    notebooks.nothing_names_its_machine,
    notebooks.metadata_is_normalised,
    notebooks.solutions_are_closed,
    notebooks.cells_have_ids,
    notebooks.file_is_small,
    notebooks.headings_form_a_tree,
    notebooks.claims_are_made,
    notebooks.exercises_name_their_effort,
    notebooks.cells_have_one_role,
    notebooks.prose_has_one_idea,
    notebooks.predictions_are_few,
    notebooks.claims_alone_are_folded,
    notebooks.code_exercises_have_stub_and_check,
]
TEACHING = [notebooks.parts_are_complete, notebooks.exercises_have_folded_solutions]
PROSE, CLAIMS, NUMBER, FIGURE, SUMMARY, EXERCISES = range(6)
EXERCISE, SOLUTION, ENDING = -3, -2, -1  # the last ones


def problems(notebook):
    """Everything that any check says about a notebook."""
    return [problem for check in CHECKS + TEACHING for problem in check(notebook)]


def test_there_is_a_chapter():
    assert sources.chapters()


@pytest.mark.parametrize("path", sources.chapters(), ids=lambda path: path.stem)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_chapter_has_a_fault(check, path):
    found = check(read(path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", sources.chapters(teaching=True), ids=lambda path: path.stem)
@pytest.mark.parametrize("check", TEACHING, ids=lambda check: check.__name__)
def test_every_chapter_that_teaches_has_its_parts(check, path):
    found = check(read(path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", sources.chapters(), ids=lambda path: path.stem)
def test_every_chapter_is_a_valid_notebook(path):
    nbformat.validate(read(path))


def test_the_honest_chapter_has_no_fault():
    assert problems(planted.chapter()) == []


PRINTED = {
    "0.123456": "an unrounded number: '0.12345",
    "tensor([1.00000012])": "an unrounded number: '1.00000012'",
    "<object object at 0x7f3a5c0d2e40>": "an object's address",
    "saved /home/anna/book/run.json": "an absolute path: '/home/anna/book/run.json'",
    r"C:\Users\anna": "an absolute path",
    "took 12.3 s": "a time: '12.3 s'",
    "100% 10/10 [00:00:01, 9.8it/s]": "a time",
    "2026-01-31": "a date",
    "torch 2.13.0": "a version: '2.13.0'",
    "UserWarning: lr_scheduler": "a warning: 'UserWarning'",
}


@pytest.mark.parametrize("text", PRINTED)
def test_text_that_differs_elsewhere_is_named(text):
    notebook = planted.chapter()
    notebook.cells[NUMBER].outputs = [planted.stream(text)]
    assert [problem for problem in problems(notebook) if PRINTED[text] in problem]


STABLE = [
    "0.0001234",
    "12.5 %",
    "1.5e-07",
    "tensor([0.1234, 1.0000])",
    "mean/std/max",
    "step 10 of 20",
    "https://a.org/b/c",
]


@pytest.mark.parametrize("text", STABLE)
def test_text_that_is_the_same_everywhere_passes(text):
    notebook = planted.chapter()
    notebook.cells[NUMBER].outputs = [planted.stream(text), planted.data("text/html", "<b>x</b>\n<i/>")]
    assert problems(notebook) == []


def test_a_recorded_time_passes_with_a_reason_only():
    notebook = planted.chapter()
    notebook.cells[NUMBER].outputs = [planted.stream("took 12.3 s")]
    notebook.cells[NUMBER].metadata["resnorm"] = {"allow": ["a time"]}
    assert ["without a reason" in problem for problem in problems(notebook)] == [True]
    notebook.cells[NUMBER].metadata["resnorm"]["reason"] = "read from the recorded run"
    assert problems(notebook) == []


def test_exemptions_have_a_budget():
    notebook = planted.chapter()
    reason = {"reason": "it draws from the system's entropy"}
    notebook.cells[-1:-1] = [planted.code("x", tags=["nbval-ignore-output"], resnorm=reason) for _ in range(4)]
    assert "4 cells switch nbval off, more than 3." in problems(planted.notebook(notebook.cells))


def describe(**shown):
    """Replace what a page shows of the figure."""

    def plant(notebook):
        notebook.cells[FIGURE].metadata["mystnb"] = {"figure": {"caption": "What to see."}} | shown

    return plant


def put(place, key, value):
    """Set one entry of a cell."""

    def plant(notebook):
        notebook.cells[place][key] = value

    return plant


def write(place, old, new):
    """Replace text of a cell's source."""

    def plant(notebook):
        notebook.cells[place].source = notebook.cells[place].source.replace(old, new)

    return plant


IMPORT = "from resnorm_lib.checks.degradation import check_length_after"
STUB = f'{IMPORT}\n\n\ndef answer(x):\n    """Return x."""\n    raise NotImplementedError'


def stub(source, label):
    """Give the last exercise this label and this stub."""

    def plant(notebook):
        for place in (EXERCISE, SOLUTION):
            notebook.cells[place].source = notebook.cells[place].source.replace("demo-f", label)
        notebook.cells.insert(SOLUTION, planted.code(source, tags=["stub"]))
        notebook.cells = planted.notebook(notebook.cells).cells

    return plant


def drop(first, count):
    """Leave out some cells."""

    def plant(notebook):
        del notebook.cells[first : first + count]

    return plant


FAULTS = {
    "has the count None, not 2": put(NUMBER, "execution_count", None),
    "has the count 7, not 2": put(NUMBER, "execution_count", 7),
    "stores an error, ZeroDivisionError": put(NUMBER, "outputs", [planted.error()]),
    "stores text on stderr: 'careful'": put(NUMBER, "outputs", [planted.stream("careful", "stderr")]),
    "prints what is not true: demo.half: 2 <= 1": put(
        NUMBER, "outputs", [planted.stream("check  demo.half  a half is small  2 <= 1")]
    ),
    "stores a widget": put(NUMBER, "outputs", [planted.data("application/vnd.jupyter.widget-view+json", {})]),
    "is exempt from a check without a reason: say why": put(NUMBER, "metadata", {"tags": ["nbval-ignore-output"]}),
    "is exempt from a check without a reason": write(NUMBER, "print", "# NBVAL_SKIP\nprint"),
    "exempt from a check without": put(NUMBER, "metadata", {"tags": ["raises-exception"], "resnorm": {"reason": " "}}),
    "has 26 lines, more than 25": put(NUMBER, "source", "x = 1\n" * 26),
    "without an alt text": describe(),
    "an alt text of 9 characters": describe(image={"alt": "Two lines"}),
    "a file name for an alt text": describe(image={"alt": "figures/gradients/correlation.png"}),
    "says that it is a figure": describe(image={"alt": "A plot of two lines that rise"}),
    "without a caption": describe(image={"alt": planted.ALT}, figure={}),
    "repeats the alt text in the caption": describe(image={"alt": planted.ALT}, figure={"caption": planted.ALT}),
    "stores 2 figures": put(FIGURE, "outputs", [planted.figure(), planted.figure()]),
    "holds an absolute path: '/home/'": write(NUMBER, "a number", "/home/anna"),
    "holds timing metadata, 'execution'": put(NUMBER, "metadata", {"execution": {"iopub.busy": "now"}}),
    "repeats the id 'cell-1'": put(NUMBER, "id", "cell-1"),
    "has no id": put(NUMBER, "id", ""),
    "bytes, more than": write(PROSE, "A", "A" * 1_500_000),
    "jumps from level 0 to level 2": write(PROSE, "#", ""),
    "is a second title": write(SUMMARY, "## Summary", "# Again\n\n## Summary"),
    "jumps from level 2 to level 4": write(EXERCISES, "## Exercises", "## Exercises\n\n#### Deep"),
    "The last sections are": write(ENDING, "## Further reading", ""),
    "makes 0 claims, fewer than 5": put(CLAIMS, "outputs", []),
    "has 5 exercises, fewer than 6": drop(EXERCISE, 2),
    "'demo-f' has no solution": write(SOLUTION, "{solution} demo-f", "{solution} demo-e"),
    "does not say its difficulty and time": write(EXERCISE, "(easy, 5 min)", "(easy)"),
    "is not folded": write(SOLUTION, "{solution} demo-f\n:class: dropdown", "{solution} demo-f"),
    "has the tags [], but it must have ['exercise']": put(EXERCISE, "metadata", {}),
    "has the tags ['stub'], but it must have ['solution']": put(SOLUTION, "metadata", {"tags": ["stub"]}),
    "has the tags ['solution'], but it must have []": put(ENDING, "metadata", {"tags": ["solution"]}),
    "holds more than its exercise": write(EXERCISE, "\n:::{exercise}", "Before.\n\n:::{exercise}"),
    "has 152 words, more than 150": write(SUMMARY, "Summary", "Summary\n\n" + "\n\n".join(["word " * 50] * 3)),
    "asks 6 times for a prediction, more than 5": write(
        SUMMARY, "## Summary", "## Summary\n\n" + "**Predict first.** " * 6
    ),
    "only claims: give it the tag hide-input": put(NUMBER, "source", "claim('demo.x', 'a sentence', 1, at_most=2)"),
    "imports a check, which belongs to the stub": put(NUMBER, "source", IMPORT),
    "is no stub: it needs a docstring": stub(f"{IMPORT}\n\n\ndef answer(x):\n    return x", "exercise-degr-length"),
    "but the check of this label is None": stub(STUB, "demo-f"),
    "but the check of this label is check_length_after": stub(
        STUB.replace("length_after", "verdict"), "exercise-degr-length"
    ),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_planted_fault_is_named_and_nothing_else(sentence):
    notebook = planted.chapter()
    FAULTS[sentence](notebook)
    assert [sentence in problem for problem in problems(notebook)] == [True]


def test_an_exercise_in_code_with_stub_and_check_has_no_fault():
    notebook = planted.chapter()
    stub(STUB, "exercise-degr-length")(notebook)
    assert problems(notebook) == []


def test_a_repeated_alt_text_is_named():
    notebook = planted.chapter()
    notebook.cells.insert(FIGURE, notebook.cells[FIGURE].copy())
    found = problems(planted.notebook(notebook.cells))
    assert ["repeats the alt text of an earlier figure" in problem for problem in found] == [True]


def test_the_kernel_and_its_version_are_normalised():
    notebook = planted.chapter()
    notebook.metadata = {"kernelspec": {"name": "my-env"}, "language_info": {"version": "3.11.7"}}
    assert len(problems(notebook)) == 2


def test_the_code_of_a_solution_must_be_folded_in_jupyter():
    cell = planted.code("x = 1")
    cell.metadata = {"tags": ["solution"]}
    assert "is a solution that Jupyter shows open" in notebooks.solutions_are_closed(planted.notebook([cell]))[0]
    cell.metadata["jupyter"] = {"source_hidden": True}
    assert notebooks.solutions_are_closed(planted.notebook([cell])) == []
