"""The search knows what pages are about, and which chapters speak most of a word."""

from book._tools.summaries import leading, summarize


def test_what_each_page_is_about_lies_in_a_script(tmp_path):
    (tmp_path / "page.html").write_text('<meta name="description" content="a &lt; b"/>')
    summarize(tmp_path)
    said = (tmp_path / "_static/summaries.js").read_text()
    assert said.startswith('window.SUMMARIES = {"page.html":"a < b"};\n')


def test_the_chapters_that_speak_most_of_a_word_are_named(tmp_path):
    texts = {
        "errata_article_1": "norm " * 9,
        "far": "norm " * 3 + "other " * 9,
        "near": "<p>Norm</p>" * 3,
        "rare": "norm",
    }
    for name, text in texts.items():
        path = tmp_path / f"chapters/{name}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<p>menu menu menu</p><article>{text}<pre>norm</pre></article>")
    found = leading(tmp_path)
    assert found["pages"] == ["chapters/far", "chapters/near", "chapters/rare"]
    assert found["words"] == {"norm": [1, 0], "other": [0]}
