"""A book that cannot be rendered leaves the last one in place, and says why at the end."""

import subprocess

import pytest

from book._tools import build as tool
from book._tools.build import build

CONFIG = "title: Small\nexecute: {execute_notebooks: 'off'}\n"
TOC = "format: jb-book\nroot: index\n"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    for name, text in {"_config.yml": CONFIG, "_toc.yml": TOC, "index.md": "# The first\n"}.items():
        (source / name).write_text(text)
    return source, out


def test_a_failed_build_leaves_the_last_good_book(folders):
    source, out = folders
    page = out / "_build/html/index.html"
    assert build(source, out) == []
    assert "The first" in page.read_text()
    (source / "index.md").write_text("# The second\n\n{doc}`nowhere`\n")
    trouble = build(source, out)
    assert any("nowhere" in line and "WARNING" in line for line in trouble)
    assert "The first" in page.read_text()
    assert build(source, out) == trouble, "the same fault must be found again"
    (source / "index.md").write_text("# The third\n")
    assert build(source, out) == []
    assert "The third" in page.read_text()


def test_pages_that_cannot_be_finished_leave_the_last_good_book(folders):
    source, out = folders
    (source / "index.md").write_text("# Finished\n")
    assert build(source, out, lambda site: (site / "finished").touch()) == []
    (source / "index.md").write_text("# Unfinished\n")

    def fail(site):
        (site / "index.html").write_text("half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        build(source, out, fail)
    ready = out / "_build/html"
    assert "Finished" in (ready / "index.html").read_text()
    assert (ready / "finished").exists()


def test_a_build_that_is_stopped_leaves_the_last_book_no_half_page_and_says_so(folders, monkeypatch, capsys):
    source, out = folders
    (source / "index.md").write_text("# Whole\n")
    assert build(source, out) == []

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", stopped)
    monkeypatch.setattr("sys.argv", ["build", str(out)])
    with pytest.raises(SystemExit) as end:
        tool.main()
    assert end.value.code == 130, "as shells count Ctrl+C"
    assert "Stopped. The last book that was rendered stays." in capsys.readouterr().err
    assert "Whole" in (out / "_build/html/index.html").read_text()
    assert not (out / "_build/next").exists(), "the next build would take half a page for a rendered one"
