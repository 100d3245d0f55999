"""The one style sheet has what a page can need, the one script what its parts had, and fonts what is drawn."""

import pytest
import tinycss2
from fontTools.ttLib import TTFont

from book._ext.formulas import save_letters
from book._tools.joined import finds, join, letters, needed, shrink

PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8">
<link href="../_static/styles/theme.css?digest=1" rel="stylesheet" />
<link rel="stylesheet" type="text/css" href="../_static/own.css?v=2" />
<link rel="preload" as="script" href="../_static/scripts/theme.js?digest=1" />
<script src="../_static/first.js"></script>
<script defer="defer" src="../_static/errata.js"></script>
<script>DOCUMENTATION_OPTIONS.pagename = 'chapters/page';</script>
</head><body class="used"><p id="here">Text</p>
<script src="../_static/scripts/theme.js?digest=1"></script></body></html>"""
FILES = {
    "_static/styles/theme.css": """@import "../basic.css";
        .used { background: url("../images/dot.svg") }
        .unused { color: red }""",
    "_static/basic.css": "p { margin: 0 }\n.clicked, .nowhere { color: blue }",
    "_static/own.css": '.used .icon:before { content: "\\f002" }\n.used { color: green }',
    "_static/first.js": '"use strict"; document.body.classList.add("clicked")',
    "_static/scripts/theme.js": "undeclared = 1",
    "_static/errata.js": "icon = 1",
}


@pytest.fixture
def site(tmp_path):
    for name, text in (FILES | {"chapters/page.html": PAGE, "chapters/next.html": PAGE}).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    join(tmp_path)
    return tmp_path


def test_a_page_asks_for_one_style_sheet_and_its_scripts_wait(site):
    page = (site / "chapters/page.html").read_text()
    (sheet,) = site.glob("_static/**/*.css")
    (script,) = site.glob("_static/book.*.js")
    assert page.count("stylesheet") == 1
    assert f'href="../_static/{sheet.name}"' in page
    assert f'<script defer src="../_static/{script.name}">' in page
    assert page.count("<script") == page.count("<script defer") == 2
    assert page == (site / "chapters/next.html").read_text()


def test_a_rule_stays_if_a_page_or_a_script_has_its_names(site):
    text = next(site.glob("_static/*.css")).read_text()
    assert "unused" not in text
    assert "nowhere" not in text
    assert text.index("margin") < text.index(".clicked") < text.index("images/dot.svg") < text.index("green")
    assert 'url("styles/../images/dot.svg")' in text


def test_without_scripts_a_page_takes_the_dark_colours_that_the_machine_asks_for(tmp_path):
    rules = '.used { color: black }\nhtml[data-theme="dark"] .used, html[data-theme=dark] p { color: white }'
    for name, text in (FILES | {"_static/own.css": rules, "chapters/page.html": PAGE}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    join(tmp_path)
    (sheet,) = tmp_path.glob("_static/book.*.dark.css")
    assert sheet.read_text().strip() == "html:not([data-theme]) .used, html:not([data-theme]) p { color: white }"
    page = (tmp_path / "chapters/page.html").read_text()
    link = f'<link rel="stylesheet" media="screen and (prefers-color-scheme: dark)" href="../_static/{sheet.name}">'
    assert f"<noscript>{link}</noscript>" in page


def test_a_strict_script_leaves_its_neighbours_as_they_were(site):
    text = next(site.glob("_static/book.*.js")).read_text()
    assert "use strict" not in text
    assert text.index("clicked") < text.index("undeclared")


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("p", True),
        (".a .b > p", True),
        (".a.c", False),
        (".a:not(.c)", True),
        ("#b", True),
        ("a:not(.c):is(.c, .a)", True),
        ('[class^="c-"]', True),
        (r".a\:b", False),
    ],
)
def test_all_names_that_a_selector_asks_for_must_be_there(selector, found):
    assert finds(selector, {"a", "b"}) is found


def test_of_a_group_the_rules_that_are_needed_stay():
    rules = tinycss2.parse_stylesheet(
        "@media print { .a { x: 1 } .c { x: 2 } } @media print { .c { x: 3 } } @font-face { y: 1 }"
    )
    text = tinycss2.serialize(needed([rule for rule in rules if rule.type != "whitespace"], {"a"}))
    assert "x: 1" in text
    assert "y: 1" in text
    assert "x: 2" not in text
    assert "x: 3" not in text


def test_a_font_keeps_the_letters_of_formulas_slanted_too(tmp_path):
    font = tmp_path / "letters.woff2"
    save_letters(font)
    before = font.stat().st_size
    shrink(font, letters(["<p>Q</p><math><mi>h</mi><mo>=</mo><mi>&#946;</mi></math>"]))
    kept = TTFont(font).getBestCmap()
    assert set(map(ord, "hℎ=β𝛽√")) <= set(kept)
    assert ord("Q") not in kept
    assert font.stat().st_size < before / 10
