"""A finished site lacks what no page uses, and its pages run no script but their own."""

import numpy as np
import pytest
import yaml
from PIL import Image
from pygments.formatters import HtmlFormatter
from pygments.token import STANDARD_TYPES, Text

from book._tools.finish import UNCOLOURED, finish, guarded
from book._tools.manifest import ROOT

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


def test_a_button_names_what_it_does_and_has_no_script(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(PAGE.format('<button onclick="window.print()">Print</button>'))
    finish(tmp_path)
    assert '<button data-press="window.print">' in page.read_text()
    assert "unsafe-hashes" not in page.read_text()


def test_a_listing_leads_back_to_where_its_object_is_documented(tmp_path):
    back = '<a class="viewcode-back" href="../../api.html#a.other.{}">[docs]</a>'
    listing = tmp_path / "_modules/a/own.html"
    listing.parent.mkdir(parents=True)
    listing.write_text(PAGE.format(back.format("Net.forward") + back.format("there") + back.format("nowhere")))
    ids = '<p id="a.Net.forward"></p><p id="a.own.Net.forward"></p><p id="a.other.there"></p>'
    (tmp_path / "api.html").write_text(PAGE.format(ids))
    finish(tmp_path)
    found = [each.partition('"')[0] for each in listing.read_text().split("api.html#")[1:]]
    assert found == ["a.own.Net.forward", "a.other.there", "a.other.nowhere"]


def test_a_long_name_in_the_index_may_go_on_in_the_next_line(tmp_path):
    index = tmp_path / "genindex.html"
    index.write_text(PAGE.format('<td><a href="a.html#b.c_d">c_d (in b.c)</a></td>'))
    finish(tmp_path)
    assert '<a href="a.html#b.c_d">c_<wbr>d (in b.<wbr>c)</a>' in index.read_text()


def test_a_page_offers_the_notebook_that_runs_anywhere(tmp_path):
    source, page = tmp_path / "_sources/chapters/demo.ipynb", tmp_path / "chapters/demo.html"
    source.parent.mkdir(parents=True)
    source.touch()
    page.parent.mkdir()
    page.write_text(PAGE.format('<a href="../_sources/chapters/demo.ipynb">.ipynb</a>'))
    finish(tmp_path)
    assert not source.exists()
    assert '<a href="../run/demo.ipynb">' in page.read_text()


def test_a_figure_becomes_lighter_and_no_pixel_changes(tmp_path):
    figure, page = tmp_path / "_images/curve.png", tmp_path / "page.html"
    figure.parent.mkdir()
    rows = np.random.default_rng(0).integers(0, 4, (40, 40, 3)).repeat(5, axis=0).astype(np.uint8)
    Image.fromarray(rows).save(figure)
    before = figure.stat().st_size
    page.write_text(PAGE.format('<a href="_images/curve.png"><img src="_images/curve.png"/></a><p>curve.png</p>'))
    finish(tmp_path)
    light = tmp_path / "_images/curve.webp"
    assert light.stat().st_size < before
    assert not figure.exists()
    assert (np.asarray(Image.open(light).convert("RGB")) == rows).all()
    assert '<a href="_images/curve.webp"><img src="_images/curve.webp"/></a><p>curve.png</p>' in page.read_text()


def test_code_loses_the_elements_that_give_no_colour(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(PAGE.format('<pre><span class="n">x</span><span class="o">=</span><span class="mi">1</span></pre>'))
    finish(tmp_path)
    assert '<pre>x<span class="o">=</span><span class="mi">1</span></pre>' in page.read_text()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_they_give_none_in_the_styles_of_the_book(mode):
    theme = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["html_theme_options"]
    style = HtmlFormatter(style=theme[f"pygments_{mode}_style"]).style
    for token in (token for token, name in STANDARD_TYPES.items() if name in UNCOLOURED):
        assert style.style_for_token(token) == style.style_for_token(Text), token


@pytest.mark.parametrize("name", ["_static/a/b.js.map", "_static/vendor/fontawesome/6.5.2/js/all.min.js"])
def test_what_no_page_uses_is_left_out(name, tmp_path):
    kept = tmp_path / "_static/vendor/fontawesome/6.5.2/webfonts/solid.woff2"
    for path in (tmp_path / name, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    finish(tmp_path)
    assert not (tmp_path / name).exists()
    assert kept.exists()
