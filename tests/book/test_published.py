"""Where the book is published: one command writes the address, and pages outside the book lead into it."""

import shutil
import tomllib
from types import SimpleNamespace

import pytest
import yaml

from book._ext import published
from book._tools import address
from tests.book.sources import ROOT

FILES = ("_config.yml", "CITATION.cff", "pyproject.toml", "book/how_to_run.md")
HERE = "https://github.com/Someone/book"


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "book").mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(project):
    """Return what the files say of the address."""
    config, cited = (yaml.safe_load((project / name).read_text()) for name in FILES[:2])
    urls = tomllib.loads((project / "pyproject.toml").read_text())["project"]["urls"]
    buttons = {config["html"][button] for button in address.BUTTONS}
    return config["repository"]["url"], config["html"]["baseurl"], cited["repository-code"], cited["url"], urls, buttons


def test_one_command_writes_the_address_everywhere(project):
    address.main([HERE])
    pages = "https://someone.github.io/book/"
    assert said(project) == (HERE, pages, HERE, pages, {"Homepage": pages, "Repository": HERE}, {True})
    assert f"  url = {{{pages}}},\n" in (project / "book/how_to_run.md").read_text()
    once = [(project / name).read_text() for name in FILES]
    address.main([HERE + ".git/"])  # what git clones
    assert [(project / name).read_text() for name in FILES] == once


def test_another_address_replaces_the_first(project):
    address.main([HERE])
    address.main(["https://code.example.org/them/book", "https://book.example.org"])
    pages = "https://book.example.org/"
    assert said(project)[:4] == ("https://code.example.org/them/book", pages) * 2
    assert not [name for name in FILES if "Someone" in (project / name).read_text()]


@pytest.mark.parametrize("words", [[], ["github.com/someone/book"], [HERE, "here"], ['https://x.org/"; rm']])
def test_what_is_no_address_is_refused(words, project):
    with pytest.raises(SystemExit, match="but it must be a whole address: https://"):
        address.main(words)
    assert all((project / name).read_bytes() == (ROOT / name).read_bytes() for name in FILES)


def test_no_button_leads_nowhere():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert {config["html"][button] for button in address.BUTTONS} == {bool(config["repository"]["url"])}


def test_a_map_of_the_site_is_read_as_xml():
    assert "<loc>https://a.org/b.html?c&amp;d</loc>" in published.sitemap(["https://a.org/b.html?c&d"])


def test_pages_name_their_picture_only_where_they_have_an_address():
    for base, expected in [("", {}), ("https://a.org/b/", {"picture": "https://a.org/b/_static/front.png"})]:
        context = {}
        published.preview(SimpleNamespace(config=SimpleNamespace(html_baseurl=base)), "page", "", context, None)
        assert context == expected
