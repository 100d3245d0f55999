"""A finished site lacks what no page uses, and its pages run no script but their own."""

import nbformat
import pytest

from book._tools.finish import finish, guarded
from tests.book import planted

PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>A page</title>
<script src="own.js"></script><script defer>go();</script></head><body>{}</body></html>"""
# echo -n 'go();' | openssl dgst -sha256 -binary | base64
GO = "'sha256-bYOqbsii8BMz1hC57p5sZG4K4cMuk6QQDiwupM2aRMM='"


def test_every_script_in_the_text_is_named_by_its_hash():
    page = guarded(PAGE.format(""))
    assert f"script-src 'self' file: {GO};" in page
    assert page.index("Content-Security-Policy") < page.index("<script")
    assert "unsafe-hashes" not in page
    assert "unsafe-inline" not in page.split("style-src")[0]


def test_what_a_button_does_is_named_too():
    page = guarded(PAGE.format('<button class="a" onclick="go();">Go</button>'))
    assert f"script-src 'self' file: {GO} 'unsafe-hashes';" in page


def test_a_notebook_to_download_keeps_its_text_and_code_without_outputs(tmp_path):
    path = tmp_path / "_sources/chapters/demo.ipynb"
    path.parent.mkdir(parents=True)
    chapter = planted.chapter()
    nbformat.write(chapter, path)
    finish(tmp_path)
    left = nbformat.read(path, as_version=4)
    assert [cell.source for cell in left.cells] == [cell.source for cell in chapter.cells]
    assert not any(cell.outputs or cell.execution_count for cell in left.cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", ["_static/a/b.js.map", "_static/vendor/fontawesome/6.5.2/js/all.min.js"])
def test_what_no_page_uses_is_left_out(name, tmp_path):
    kept = tmp_path / "_static/vendor/fontawesome/6.5.2/webfonts/solid.woff2"
    for path in (tmp_path / name, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    finish(tmp_path)
    assert not (tmp_path / name).exists()
    assert kept.exists()
