"""The front page counts what stands, and its figure can be described and is the same in every build."""

import json
import re

from book._ext import chapters, front
from book._tools import manifest


def test_the_front_page_names_every_chapter_with_its_question():
    asked = manifest.chapters()
    text = "\n".join(chapters.front_parts(asked))
    for chapter in asked:
        assert f"{{doc}}`/chapters/{chapter.name}`: {chapter.question}" in text


def test_the_numbers_are_those_of_the_sources():
    asked = manifest.chapters()
    [sentence] = chapters.front_numbers(asked)
    assert sentence.startswith(f"{len(asked)} chapters; ")


def test_the_figure_is_described_and_reproducible():
    run = json.loads(front.RUN.read_text())
    drawn = front.drawing(run)
    block, losses = drawn.split("<svg ")[1:]
    assert block.startswith('role="img" aria-label="From the bottom up: a block normalizes')
    assert losses.startswith('role="img" aria-label="Loss against steps: ')
    names = re.findall(r'\bid="([^"]+)"', drawn)
    assert len(names) == len(set(names))
    assert drawn == front.drawing(run)


def test_the_description_of_the_figure_is_true():
    """It says that the loss falls below 0.1 with shortcuts, and stays near its start without."""
    runs = {trial["arm"]: trial["metrics"]["loss"]["value"] for trial in json.loads(front.RUN.read_text())["trials"]}
    assert max(runs["residual-40"][-10:]) < 0.1
    assert min(runs["plain-40"][-10:]) > 0.5 * runs["plain-40"][0]
