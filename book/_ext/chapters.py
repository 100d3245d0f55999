"""Pages made from the manifest ``book/chapters.yml``.

``{chapter-map}`` shows what each chapter asks and needs, ``{course-schedule}`` the weeks of the course,
``{course-semester} 14`` those of a course with all chapters, ``{course-hours}`` its hours and points,
``{recorded-sections}`` a section of recorded runs for each chapter that has some, ``{part-page} II`` the chapters of a
part; for the front page, ``{front-parts}`` shows the parts of the book with what each chapter asks, and
``{front-numbers}`` what stands today, counted.
"""

import json
import math

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from book._tools import manifest

TOC, REGISTER = manifest.ROOT / "_toc.yml", manifest.ROOT / "book/errata.yml"
SEEDS = manifest.ROOT / "book/recorded/seeds.json"
SOURCES = [manifest.ROOT / "book/chapters.yml", TOC, REGISTER, SEEDS]
WEEKS = 10  # of the course
READING = 2  # times the stated minutes: what a student of the second year takes, by one reader's estimate


def chapter_map(chapters):
    """Return the parts of the book, each chapter with its question and with what it needs."""
    return by_part(chapters, lambda chapter: f"{chapter.question} *Needs:* {needs(chapter)}.")


def by_part(chapters, words):
    """Yield a list for each part of the book, a line a chapter with what `words` says of it."""
    for numeral in manifest.parts():
        inside = [chapter for chapter in chapters if chapter.part == numeral]
        if inside:
            yield f"**{{doc}}`/book/parts/{numeral.lower()}`**\n"
            yield from (f"- {link(chapter.name)}: {words(chapter)}" for chapter in inside)
            yield ""


def needs(chapter):
    """Return what must have been read before a chapter."""
    return ", ".join(filter(None, [*map(link, chapter.needs), chapter.also])) or "nothing before it"


def hours(chapter):
    """Return the hours that a student takes to read a chapter and to do all its exercises."""
    return (READING * chapter.minutes + sum(task["minutes"] for task in chapter.exercises)) / 60


def weeks_of(chapters, weeks):
    """Yield each chapter with the weeks that it takes, as many hours in each week."""
    a_week, begun = sum(map(hours, chapters)) / weeks, 0.0
    for chapter in chapters:
        ended = begun + hours(chapter)
        first, last = int(begun / a_week + 0.05) + 1, math.ceil(ended / a_week - 0.05)
        yield (
            chapter,
            f"{first}" if last <= first else f"{first}, {last}" if last == first + 1 else f"{first} to {last}",
        )
        begun = ended


def course_schedule(chapters):
    """Return what the course takes, and a table: weeks, chapter, hours, what to hand in."""
    chosen = [chapter for chapter in chapters if chapter.hand_in]
    total = sum(map(hours, chosen))
    yield f"{len(chosen)} chapters, {total:.0f} hours: {total / WEEKS:.1f} a week, class and home together.\n"
    yield "| weeks | chapter | hours | to hand in |\n|---|---|---|---|"
    for chapter, weeks in weeks_of(chosen, WEEKS):
        yield f"| {weeks} | {link(chapter.name)} | {hours(chapter):.1f} | {chapter.hand_in} |"


def course_semester(chapters, weeks):
    """Return what all chapters take in so many weeks, and a table: weeks, chapter, hours."""
    total = sum(map(hours, chapters))
    yield f"{len(chapters)} chapters, {total:.0f} hours: {total / int(weeks):.1f} a week, class and home together.\n"
    yield "| weeks | chapter | hours |\n|---|---|---|"
    for chapter, each in weeks_of(chapters, int(weeks)):
        yield f"| {each} | {link(chapter.name)} | {hours(chapter):.1f} |"


def course_hours(chapters):
    """Return a table: chapter, hours of reading and of exercises, and the points that a check and a person give."""
    yield "| chapter | reading, h | exercises, h | points by a check | points by hand |\n|---|---|---|---|---|"
    for name, each in [*((link(chapter.name), [chapter]) for chapter in chapters), ("all", chapters)]:
        tasks = [task for chapter in each for task in chapter.exercises]
        reading = READING * sum(chapter.minutes for chapter in each)
        points = [sum(task["points"] for task in tasks if ("check" in task) is marked) for marked in (True, False)]
        minutes = sum(task["minutes"] for task in tasks)
        yield f"| {name} | {reading / 60:.1f} | {minutes / 60:.1f} | {points[0]} | {points[1]} |"


def recorded_sections(chapters):
    """Return a section for each chapter with an experiment or a benchmark."""
    for chapter in chapters:
        if chapter.experiment or chapter.benchmark:
            runs = f"recorded-runs}} {chapter.name}" if chapter.experiment else "recorded-kernels}"
            yield f"## {manifest.heading(chapter.name)[1]}\n\n{link(chapter.name)}\n"
            yield f"*What to see:* {chapter.see}\n\n```{{{runs}\n```\n"


def part_page(chapters, numeral):
    """Return a section for each chapter of a part: what it asks and teaches, how long it takes, what it needs."""
    for chapter in chapters:
        if chapter.part == numeral:
            yield f"## {manifest.heading(chapter.name)[1]}\n\n*{chapter.question}*\n"
            yield f"You will be able to {manifest.outcome(chapter.name)}\n"
            yield f"- Read: {link(chapter.name)}, about {chapter.minutes} minutes.\n- Needs: {needs(chapter)}."
            yield f"- {exercises(chapter.exercises)}\n"


def exercises(each):
    """Return a line that counts exercises, their minutes and their points."""
    marked = sum("check" in exercise for exercise in each)
    minutes, points = (sum(exercise[key] for exercise in each) for key in ("minutes", "points"))
    return f"Exercises: {len(each)}, of which a check marks {marked}; {minutes} minutes, {points} points."


def front_parts(chapters):
    """Return the parts of the book, each chapter with its question."""
    return by_part(chapters, lambda chapter: chapter.question)


def front_numbers(chapters):
    """Return a sentence with what stands today, counted."""
    exercises = [exercise for chapter in chapters for exercise in chapter.exercises]
    tried = json.loads(SEEDS.read_text(encoding="utf-8"))["chapters"].values()
    claims = sum(len(chapter["claims"]) for chapter in tried)
    errata = yaml.safe_load(REGISTER.read_text(encoding="utf-8"))["findings"]
    yield (
        f"{len(chapters)} chapters; {claims} claims and checks, each tried under ten seeds; "
        f"{len(exercises)} exercises, of which a check marks {sum('check' in each for each in exercises)}; "
        f"{len(errata)} entries in the register of errata."
    )


def link(name):
    return f"{{doc}}`/chapters/{name}`"


PAGES = {"chapter-map": chapter_map, "course-schedule": course_schedule, "recorded-sections": recorded_sections}
PAGES |= {"course-hours": course_hours, "course-semester": course_semester}
PAGES |= {"part-page": part_page, "front-parts": front_parts, "front-numbers": front_numbers}


class FromManifest(SphinxDirective):
    """MyST text that one of ``PAGES`` makes of the manifest."""

    optional_arguments = 1

    def run(self):
        for source in SOURCES:
            self.env.note_dependency(str(source))
        container = nodes.Element()
        text = "\n".join(PAGES[self.name](manifest.chapters(), *self.arguments))
        self.state.nested_parse(StringList(text.splitlines(), self.name), 0, container, match_titles=True)
        return container.children


def setup(app):
    for name in PAGES:
        app.add_directive(name, FromManifest)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
