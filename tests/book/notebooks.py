"""What a chapter must be beside its outputs: short cells, quiet metadata, and the parts that a reader expects.

Each check takes one notebook and returns its problems as sentences.
"""

import ast
import json
import re

from book._tools.cells import all_cells, code_cells, printed_text
from book._tools.myst import blocks, directives, headings
from resnorm_lib.checks import registry
from resnorm_lib.claims import lines

LONGEST_CELL = 25
LARGEST_FILE = 1_500_000
FEWEST_CLAIMS = 5
FEWEST_EXERCISES = 6
TIMINGS = ["execution", "ExecuteTime"]
LAST_PARTS = ["Summary", "Exercises", "Further reading"]
EFFORT = re.compile(r"\((easy|medium|hard), \d+ min\)")
LONGEST_PROSE = 150  # words
MOST_PREDICTIONS = 5
ROLES = ("exercise", "stub", "solution")
SOLUTION = {"solution", "solution-start", "solution-end"}
FORMULA = re.compile(r"\$\$.*?\$\$", re.DOTALL)
IMPORTED_CHECK = re.compile(r"^from resnorm_lib\.checks\.\w+ import (check_\w+)$", re.MULTILINE)
OWN_FOLDER = re.compile(r"(?<![\w.])(?:/(?:home|Users|root|tmp|work|content|mnt|opt|usr|var)/|[A-Z]:\\\\?\w)")


def code_cells_are_short(notebook):
    """Longer code belongs to the library."""
    return [
        f"{where} has {lines} lines, more than {LONGEST_CELL}."
        for cell, where in code_cells(notebook)
        if (lines := len(cell.source.splitlines())) > LONGEST_CELL
    ]


def nothing_names_its_machine(notebook):
    """A path of the author's machine exists nowhere else."""
    return [
        f"{where} holds an absolute path: {match[0]!r}."
        for cell, where in all_cells(notebook)
        if (match := OWN_FOLDER.search(cell.source))
    ]


def metadata_is_normalised(notebook):
    """Metadata that changes with each run hides the changes that matter."""
    found = []
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("The kernel is not named python3.")
    if "version" in notebook.metadata.get("language_info", {}):
        found.append("The metadata hold the version of Python, language_info.version.")
    for cell, where in all_cells(notebook):
        found += [
            f"{where} holds timing metadata, {key!r}." for key in ("execution", "ExecuteTime") if key in cell.metadata
        ]
    return found


def solutions_are_closed(notebook):
    """In JupyterLab, too, nobody sees a solution before the exercise."""
    return [
        f"{where} is a solution that Jupyter shows open: it needs the metadata jupyter.source_hidden."
        for cell, where in all_cells(notebook)
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", [])
        if not cell.metadata.get("jupyter", {}).get("source_hidden")
    ]


def cells_have_ids(notebook):
    """Stable ids keep a diff of two versions small."""
    found, seen = [], set()
    for cell, where in all_cells(notebook):
        if not cell.get("id"):
            found.append(f"{where} has no id.")
        elif cell.id in seen:
            found.append(f"{where} repeats the id {cell.id!r}.")
        seen.add(cell.get("id"))
    return found


def file_is_small(notebook):
    """Large notebooks cannot be reviewed, and sites that show notebooks give up on them."""
    size = len(json.dumps(notebook, ensure_ascii=False).encode())
    return [f"The notebook has {size:,} bytes, more than {LARGEST_FILE:,}."] if size > LARGEST_FILE else []


def headings_form_a_tree(notebook):
    """A reader who cannot see the page moves by its headings."""
    found, previous = [], 0
    for level, title in headings(_markdown(notebook)):
        if level == 1 and previous:
            found.append(f"The heading {title!r} is a second title.")
        elif level > previous + 1:
            found.append(f"The heading {title!r} jumps from level {previous} to level {level}.")
        previous = level
    return found


def parts_are_complete(notebook):
    """Every chapter ends in the same three parts."""
    sections = [title for level, title in headings(_markdown(notebook)) if level == 2]
    if sections[-len(LAST_PARTS) :] == LAST_PARTS:
        return []
    return [f"The last sections are {sections[-len(LAST_PARTS) :]}, not {LAST_PARTS}."]


def claims_are_made(notebook):
    """A chapter that claims nothing cannot be refuted."""
    count = len(claim_ids(notebook))
    return [f"The chapter makes {count} claims, fewer than {FEWEST_CLAIMS}."] if count < FEWEST_CLAIMS else []


def exercises_have_folded_solutions(notebook):
    """An exercise without a solution cannot be checked; a solution in sight spoils the exercise."""
    found = []
    exercises = [_label(each) for each in _named(notebook, "exercise", "exercise-start")]
    solutions = _named(notebook, "solution", "solution-start")
    if len(exercises) < FEWEST_EXERCISES:
        found.append(f"The chapter has {len(exercises)} exercises, fewer than {FEWEST_EXERCISES}.")
    solved = [each.argument.strip() for each in solutions]
    found += [f"The exercise {label!r} has no solution." for label in exercises if label not in solved]
    found += [
        f"The solution of {each.argument!r} is not folded: give it `:class: dropdown`."
        for each in solutions
        if "dropdown" not in each.options.get("class", "").split()
    ]
    return found


def cells_have_one_role(notebook):
    """A student version, a grader and a translation are cut out by tags: one thing a cell, and its tag."""
    found, inside = [], False
    for cell, where in all_cells(notebook):
        roles = [role for role in ROLES if role in cell.metadata.get("tags", [])]
        names = [each.name for each in directives(cell.source)] if cell.cell_type == "markdown" else []
        wanted = "exercise" if "exercise" in names else "solution" if inside or set(names) & SOLUTION else None
        if "stub" in roles and cell.cell_type == "code" and not inside:
            wanted = "stub"
        inside = (inside or "solution-start" in names) and "solution-end" not in names
        if roles != [wanted] * bool(wanted):
            found.append(f"{where} has the tags {roles}, but it must have {[wanted] * bool(wanted)}.")
        if wanted and set(names) & (SOLUTION | {"exercise"}) and len(blocks(cell.source)) > 1:
            found.append(f"{where} holds more than its {names[0]}.")
    return found


def prose_has_one_idea(notebook):
    """A translation, a comment and a review take a cell at a time."""
    return [
        f"{where} has {count} words, more than {LONGEST_PROSE}: split it between paragraphs."
        for cell, where in all_cells(notebook)
        if cell.cell_type == "markdown"
        and (count := len(FORMULA.sub("", cell.source).split())) > LONGEST_PROSE
        and len([block for block in blocks(cell.source) if block not in ("heading_open", "myst_target")]) > 2
    ]


def predictions_are_few(notebook):
    """A question that is asked too often is no longer answered before one scrolls."""
    texts = [cell.source for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    count = sum(text.count("**Predict first") for text in texts)
    return [f"The chapter asks {count} times for a prediction, more than {MOST_PREDICTIONS}."] * (
        count > MOST_PREDICTIONS
    )


def claims_alone_are_folded(notebook):
    """On the page a cell that only claims shows its lines, and its code on demand."""
    found = []
    for cell, where in code_cells(notebook):
        calls = [
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and getattr(node.value.func, "id", "") in ("check", "claim")
            for node in ast.parse(cell.source).body
        ]
        if calls and all(calls) and "hide-input" not in cell.metadata.get("tags", []):
            found.append(f"{where} only claims: give it the tag hide-input.")
    return found


def code_exercises_have_stub_and_check(notebook):
    """Who solves an exercise in code finds where to begin, and learns whether it is right."""
    found, label, stubs = [], None, {}
    for cell, where in all_cells(notebook):
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            label = next((_label(each) for each in directives(cell.source) if each.name == "exercise"), None)
        elif "stub" in tags and cell.cell_type == "code":
            stubs[label] = IMPORTED_CHECK.findall(cell.source)
            if "raise NotImplementedError" not in cell.source or '"""' not in cell.source:
                found.append(f"{where} is no stub: it needs a docstring and `raise NotImplementedError`.")
        elif "solution" not in tags and IMPORTED_CHECK.search(cell.source):
            found.append(f"{where} imports a check, which belongs to the stub of its exercise.")
    known = {name: each.check.__name__ for name, each in registry().items()}
    for name, checks in stubs.items():
        if [known.get(name)] != checks:
            found.append(f"The stub of {name!r} imports {checks}, but the check of this label is {known.get(name)}.")
    return found


def exercises_name_their_effort(notebook):
    """Who hands out an exercise, or has ten minutes, chooses by difficulty and time."""
    return [
        f"The exercise {_label(each)!r} does not say its difficulty and time, as in (easy, 5 min)."
        for each in _named(notebook, "exercise", "exercise-start")
        if not EFFORT.search(f"{each.argument}\n{each.body}")
    ]


def claim_ids(notebook):
    """Return the ids of the claims and checks that the stored outputs say hold, in order."""
    return [line.id for cell, _ in code_cells(notebook) for line in lines(printed_text(cell))]


def _markdown(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _named(notebook, *names):
    return [each for each in directives(_markdown(notebook)) if each.name in names]


def _label(exercise):
    return exercise.options.get("label", "")
