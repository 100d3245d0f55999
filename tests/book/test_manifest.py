"""The manifest, the notebooks, the table of contents and the library say the same of every chapter."""

import ast
import pkgutil
import re
from xml.etree import ElementTree

import pytest

import resnorm_lib.experiments
from book._ext import chapters as pages
from book._ext import graph
from book._tools import manifest
from book._tools.cells import read
from book._tools.manifest import ROOT, chapters, heading
from resnorm_lib.checks import registry
from resnorm_lib.experiments import EXPERIMENTS, get
from resnorm_lib.probes.findings import CHAPTERS
from tests.book import sources

MANIFEST = chapters()
NAMES = [chapter.name for chapter in MANIFEST]
POINTS = {"easy": 1, "medium": 2, "hard": 3}
EXERCISE = re.compile(r":label: (exercise-\S+)\n\n\((easy|medium|hard), (\d+) min\)")
each_chapter = pytest.mark.parametrize("chapter", MANIFEST, ids=NAMES)


def text(chapter):
    cells = read(ROOT / "chapters" / f"{chapter.name}.ipynb").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def stems(folder, pattern="*.py"):
    return {path.stem for path in (ROOT / folder).glob(pattern) if not path.stem.startswith("_")}


def unlisted(entries, notebooks):
    """Return a sentence for each notebook without an entry, and for each entry without a notebook."""
    found = [f"chapters/{name}.ipynb has no entry in book/chapters.yml: add one." for name in notebooks - entries]
    found += [f"book/chapters.yml names {name}, but there is no chapters/{name}.ipynb." for name in entries - notebooks]
    return sorted(found)


def test_the_chapters_that_teach_are_those_of_the_manifest():
    found = unlisted({*NAMES}, {path.stem for path in sources.chapters(teaching=True)})
    assert not found, "\n".join(found)
    assert len({*NAMES}) == len(NAMES)


def test_a_chapter_without_an_entry_is_told_in_a_sentence():
    assert unlisted({"degradation", "gone"}, {"degradation", "my_subject"}) == [
        "book/chapters.yml names gone, but there is no chapters/gone.ipynb.",
        "chapters/my_subject.ipynb has no entry in book/chapters.yml: add one.",
    ]


def test_pages_are_listed_in_their_order_and_those_of_numbered_parts_counted_through_the_book(tmp_path):
    (tmp_path / "_toc.yml").write_text(
        "root: book/index\nparts:\n"
        "- caption: Start\n  chapters: [{file: book/map, sections: [{file: book/parts/i}]}]\n"
        "- caption: I. One\n  numbered: 1\n  chapters: [{file: chapters/a, sections: [{file: book/b}]}]\n"
        "- caption: II. Two\n  numbered: 1\n  chapters: [{file: chapters/c}]\n"
    )
    start = [("book/index", "", None), ("book/map", "Start", None), ("book/parts/i", "Start", None)]
    counted = [("chapters/a", "I. One", 1), ("book/b", "I. One", None), ("chapters/c", "II. Two", 2)]
    assert manifest.listed(tmp_path) == start + counted
    assert manifest.parts(tmp_path) == {"I": "I. One", "II": "II. Two"}


def test_contents_without_parts_are_those_of_one_without_a_caption(tmp_path):
    (tmp_path / "_toc.yml").write_text("root: book/index\nchapters: [{file: chapters/a}]\n")
    assert manifest.listed(tmp_path) == [("book/index", "", None), ("chapters/a", "", None)]


def test_no_page_is_listed_twice():
    files = [page.file for page in manifest.listed()]
    assert len(files) == len({*files})


def test_the_table_of_contents_has_the_parts_and_the_order_of_the_manifest():
    listed = [(page.part.partition(".")[0], page.file.removeprefix("chapters/")) for page in manifest.listed()]
    teach = [page for page in listed if page[1] in NAMES]
    wanted = [(chapter.part, chapter.name) for chapter in MANIFEST]
    assert teach == wanted, "_toc.yml and book/chapters.yml must name the same chapters, in the same parts and order."


@each_chapter
def test_a_chapter_needs_only_chapters_before_it(chapter):
    assert set(chapter.needs) <= set(NAMES[: NAMES.index(chapter.name)])


@each_chapter
def test_the_exercises_are_those_of_the_notebook(chapter):
    entries = [(each["label"], each["level"], each["minutes"]) for each in chapter.exercises]
    assert entries == [(label, level, int(minutes)) for label, level, minutes in EXERCISE.findall(text(chapter))]


@each_chapter
def test_the_notebook_says_how_long_it_takes(chapter):
    exercises = sum(each["minutes"] for each in chapter.exercises)
    for said in (
        f"**Time:** about {chapter.minutes} minutes to read and run, {exercises} more for all exercises",
        f"The code runs in about {manifest.duration(chapter.seconds)} on one thread of a CPU",
    ):
        assert said in text(chapter), f"The box at the start of {chapter.name} must say: {said}."


@each_chapter
def test_points_follow_the_level_and_the_registry_has_them_too(chapter):
    assert [each["points"] for each in chapter.exercises] == [POINTS[each["level"]] for each in chapter.exercises]
    checked = {each["label"]: (each["points"], each["check"]) for each in chapter.exercises if "check" in each}
    registered = {label: each for label, each in registry().items() if each.chapter == chapter.name}
    assert checked == {label: (each.points, each.check.__name__) for label, each in registered.items()}


def test_the_api_has_the_checks_of_every_chapter_in_the_order_of_the_chapters():
    page = (ROOT / "book" / "api" / "checks.md").read_text(encoding="utf-8")
    listed = re.findall(r"automodule:: resnorm_lib\.checks\.(\w+)$", page, re.MULTILINE)
    assert listed == [name for name in NAMES if name in stems("resnorm_lib/checks")]


def test_checks_and_their_answers_belong_to_chapters_with_checked_exercises():
    checked = {chapter.name for chapter in MANIFEST if any("check" in each for each in chapter.exercises)}
    assert {each.chapter for each in registry().values()} == checked
    assert stems("tests/book/answers") == checked


def test_every_experiment_belongs_to_a_chapter_and_has_tests():
    marked = {chapter.name for chapter in MANIFEST if chapter.experiment}
    found = {info.name for info in pkgutil.iter_modules(resnorm_lib.experiments.__path__)}
    assert {name for name in found if not name.startswith("_")} == marked, "mark it in book/chapters.yml"
    assert {name.removeprefix("test_") for name in stems("tests/experiments")} == marked


def test_the_links_of_findings_are_those_of_the_manifest():
    explained = {subject: heading(chapter.name) for chapter in MANIFEST for subject in chapter.findings}
    assert explained == CHAPTERS


@pytest.mark.parametrize("numeral", sorted({chapter.part for chapter in MANIFEST}))
def test_every_part_with_chapters_has_a_page(numeral):
    page = ROOT / "book/parts" / f"{numeral.lower()}.md"
    caption = manifest.parts()[numeral]
    assert page.exists(), f"write {page.relative_to(ROOT)}, and list it in _toc.yml below book/map"
    assert page.read_text().startswith(f"# {caption}\n")
    assert f"{{part-page}} {numeral}\n" in page.read_text()
    told = "\n".join(pages.part_page(MANIFEST, numeral))
    assert [name for name in NAMES if f"Read: {{doc}}`/chapters/{name}`" in told] == [
        chapter.name for chapter in MANIFEST if chapter.part == numeral
    ]


def test_the_graph_has_a_link_for_each_chapter_and_an_arc_for_each_need():
    titles = {name: heading(name)[1] for name in NAMES}
    drawn = graph.drawing(MANIFEST, manifest.parts(), titles, {name: f"{name}.html" for name in NAMES})
    svg = ElementTree.fromstring(drawn)
    assert {link.get("href"): link.findtext("text") for link in svg.iter("a")} == {
        f"{name}.html": title for name, title in titles.items()
    }
    arcs = sorted(path.get("class") for path in svg.iter("path"))
    assert arcs == sorted(f"of-{need} of-{chapter.name}" for chapter in MANIFEST for need in chapter.needs)


def test_an_arc_leads_down_and_stays_in_the_drawing():
    heights = {"a": 30, "b": 60, "c": 630}
    for chapter in "bc":
        way = re.search(' d="(.*?)"', graph.arc("a", chapter, heights))[1]
        x, top, out, _, _, bottom = [float(number) for number in re.findall(r"[\d.-]+", way)][:6]
        assert (top + 5, bottom + 5) == (heights["a"], heights[chapter])
        assert 0 < x + 0.75 * (out - x) < x


def test_the_plan_of_the_course_fits_its_weeks_and_has_what_its_chapters_need():
    chosen = [chapter for chapter in MANIFEST if chapter.hand_in]
    assert set().union(*(chapter.needs for chapter in chosen)) <= {chapter.name for chapter in chosen}
    assert 5 <= sum(map(pages.hours, chosen)) / pages.WEEKS <= 6, "book/map.md says: two hours of class, four at home"
    for plan, count, some in ((pages.course_schedule(MANIFEST), pages.WEEKS, chosen),
                              (pages.course_semester(MANIFEST, "14"), 14, MANIFEST)):  # fmt: skip
        rows = [line.split(" | ") for line in plan if "{doc}" in line]
        weeks = [int(number) for row in rows for number in re.findall(r"\d+", row[0])]
        assert len(rows) == len(some)
        assert weeks == sorted(weeks)
        assert set(weeks) == set(range(1, count + 1))


def gpu_changes(path):
    """Return what the preset "gpu" changes in a chapter: the "size" of what is trained, the "device" alone, or None."""
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    nodes = [node for source in cells for node in ast.walk(ast.parse(source))]
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}
    if any(map(asks_for_the_preset, nodes)):
        return "size"
    return "device" if "device" in names - own else None


def asks_for_the_preset(node):
    """Return whether this is runtime.preset(), or an experiment's config() or run() whose preset is nowhere named."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    owner = getattr(node.func.value, "id", None)
    if (owner, node.func.attr) == ("runtime", "preset"):
        return True
    named = any(isinstance(arg, ast.Constant | ast.Name) for arg in node.args) or "preset" in {
        k.arg for k in node.keywords
    }
    return node.func.attr in ("config", "run") and owner != "subprocess" and not named


def test_the_page_on_running_says_what_a_gpu_changes_in_which_chapter():
    page = (ROOT / "book/how_to_run.md").read_text(encoding="utf-8")
    size, device, nothing = re.findall(r"^\| (?:the tensors are|nothing:).*$", page, re.MULTILINE)
    found = {path.stem: gpu_changes(path) for path in sources.chapters()}
    for row, change in ((size, "size"), (device, "device")):
        listed = re.findall(r"chapters/(\w+)", row)
        assert sorted(listed) == sorted(name for name, what in found.items() if what == change)
    assert "all others" in nothing
    named = re.search(r"where `NAME` is (.+)\.$", page, re.MULTILINE)[1]
    without = [name for name in EXPERIMENTS if found[name] != "size" and "gpu" in get(name).presets]
    assert sorted(re.findall(r"`(\w+)`", named)) == sorted(without)
