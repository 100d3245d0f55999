"""A book in print: one text whose every link leads somewhere, with the solutions at its end."""

import base64
import shutil
import zipfile
from xml.etree import ElementTree

import pytest

from book._tools.manifest import Listed
from book._tools.printed import __main__ as printed
from book._tools.printed import epub, pages, pdf
from tests.site import browser

START = """<article class="bd-article"><section id="start"><h1>The start<a class="headerlink" href="#start">#</a></h1>
<p>Read <a href="../chapters/depth.html#why">why</a>, <a href="../_modules/a.html">a listing</a>,
<a href="https://a.org/">A</a>.</p><p class="solo">&lt; &amp; <br>x</p></section></article>"""
DEPTH = """<article class="bd-article"><section id="start"><h1>Depth</h1><h2 id="why">Why</h2>
<details class="admonition hide above-input"><summary>Show</summary><pre>draw()</pre></details>
<details class="admonition hide below-input"><summary><p class="collapsed">Show the answer</p>
<p class="expanded">Hide the answer</p></summary><pre>42</pre></details>
<img src="../_images/curve.png" alt="A curve." loading="lazy">
<svg role="group" viewBox="0 0 1 1">
<style class="nohighlight">rect {fill: red}</style><rect id="dot" width="1" height="1"/><use href="#dot"/></svg>
<span class="math"><math xmlns="http://www.w3.org/1998/Math/MathML"><mi>x</mi></math></span>
<div class="exercise admonition" id="exercise-a"><p class="admonition-title">Exercise 1</p></div>
<div class="solution admonition" id="chapters/depth-solution-1"><p class="admonition-title">Solution</p>
<p>As in <a href="#why">the text</a>.</p></div></section></article>"""

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")


@pytest.fixture
def site(tmp_path):
    for name, article in {"book/index": START, "chapters/depth": DEPTH}.items():
        path = tmp_path / f"{name}.html"
        path.parent.mkdir()
        path.write_text(f"<html><body><nav>Sidebar</nav>{article}</body></html>")
    for name in ("_images/curve.png", "_static/formulas.woff2", "_static/pygments.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.fixture
def book(site):
    return pages.read(site, [Listed("book/index", "", None), Listed("chapters/depth", "I. Background", 1)])


def test_every_link_leads_to_a_place_of_the_book_or_out_of_it(book):
    whole = [element for page in book for element in [page.body, *page.body.select("[id]")]]
    names = [element["id"] for element in whole]
    assert len(names) == len(set(names))
    links = [link["href"] for page in book for link in page.body.select("a[href]")]
    assert {link.removeprefix("#") for link in links} - set(names) == {"https://a.org/"}
    assert "a listing" in book[0].body.get_text()


def test_solutions_stand_at_the_end_and_their_places_lead_there(book):
    assert [page.name for page in book] == ["book/index", "chapters/depth", "solutions/depth"]
    assert "As in the text" not in book[1].body.get_text()
    assert "As in the text" in book[2].body.get_text()
    assert book[1].body.select_one("p.solved a")["href"] == "#" + book[2].body.select_one("div.solution")["id"]
    assert book[2].body.select_one(".admonition-title a").string == "Exercise 1"


def test_what_only_a_screen_can_do_is_left_out_and_answers_are_open(book):
    text = book[1].body.get_text()
    assert "draw()" not in text
    assert "Show" not in text
    assert "The answer" in text
    assert "#" not in book[0].body.find("h1").get_text()
    assert all("open" in details.attrs for details in book[1].body.select("details"))


def test_an_epub_is_xml_that_lists_all_of_its_files(book, site, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    printed.gather(site, book, folder)
    epub.write(book, folder, tmp_path / "book.epub", "A & B", "The authors")
    with zipfile.ZipFile(tmp_path / "book.epub") as read:
        first = read.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        package = ElementTree.fromstring(read.read("book.opf"))
        listed = {item.get("href") for item in package.iter("{http://www.idpf.org/2007/opf}item")}
        assert listed == set(read.namelist()) - {"mimetype", "META-INF/container.xml", "book.opf"}
        for name in listed:
            if name.endswith("xhtml"):
                ElementTree.fromstring(read.read(name))
        depth = read.read("chapters-depth.xhtml").decode()
    assert 'viewBox="0 0 1 1"' in depth
    assert "role=" not in depth
    assert "<style>rect" in depth
    assert 'id="dot"' in depth, "a part of a drawing that another names"
    assert 'href="solutions-depth.xhtml#chapters-depth--chapters-depth-solution-1"' in depth


def test_the_contents_name_the_page_on_which_a_chapter_begins(book, site, tmp_path):
    browser.require()
    pypdf = pytest.importorskip("pypdf")
    folder = tmp_path / "folder"
    folder.mkdir()
    printed.gather(site, book, folder)
    pdf.write(book, folder, tmp_path / "book.pdf", "A book", "1.0")
    read = pypdf.PdfReader(tmp_path / "book.pdf")
    texts = [page.extract_text() for page in read.pages]
    [contents] = [text for text in texts if "Contents" in text]
    [at] = [number for number, text in enumerate(texts, start=1) if "Why" in text]
    assert f"Depth {at}" in " ".join(contents.split())
    assert str(at) in texts[at - 1].split(), "each page has its number"
    assert [entry.title for entry in read.outline if not isinstance(entry, list)][-1] == "Solutions: Depth"


@pytest.mark.skipif(not shutil.which("epubcheck"), reason="epubcheck is not installed")
def test_epubcheck_finds_nothing_in_an_epub_and_a_fault_in_a_broken_one(book, site, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    printed.gather(site, book, folder)
    (folder / "curve.png").write_bytes(PIXEL)
    (folder / "formulas.woff2").unlink()
    (folder / "code.css").write_text("")
    epub.write(book, folder, tmp_path / "book.epub", "A & B", "The authors")
    assert epub.judged(tmp_path / "book.epub") == []
    (folder / "curve.png").unlink()
    epub.write(book, folder, tmp_path / "broken.epub", "A & B", "The authors")
    assert any("curve.png" in line for line in epub.judged(tmp_path / "broken.epub"))
