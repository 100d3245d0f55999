"""One style sheet, one script and small fonts for all pages of a built site, in place of what each extension brings.

A browser draws nothing before it has read every style sheet and script in the head of a page. The theme and the
extensions bring twenty-four files; most of their rules and icons are for things that this book does not have. A rule
stays if each class and name of one of its selectors stands in some page or in some script, which may set it.
"""

import hashlib
import html
import os
import re
from functools import cache
from pathlib import PurePosixPath

import tinycss2
from fontTools import subset

from book._ext.formulas import letter

SHEET = re.compile(r'\s*<link\b(?=[^>]*\brel="stylesheet")[^>]*\bhref="((?:\.\./)*)(_static/[^"?]+)[^"]*"[^>]*>')
SCRIPT = re.compile(r'\s*<script\b[^>]*\bsrc="((?:\.\./)*)(_static/[^"?]+)[^"]*"[^>]*></script>')
PRELOADED = re.compile(r'\s*<link rel="preload"[^>]*>')  # what is joined, and fonts, used or not
AFTER = re.compile(
    r"\s*<script>DOCUMENTATION_OPTIONS\.pagename = [^<]*</script>"
)  # read where there are versions alone
LATER = re.compile(r'<script(?=[^>]*\bsrc=")(?![^>]*\bdefer\b)')
# These belong to single pages; the second asks by which name it was loaded.
ALONE = ("_static/errata.js", "_static/movable/start.js", "_static/searchtools.js", "_static/language_data.js")
ALONE += ("_static/search.js", "_static/summaries.js")
URL = re.compile(r"""url\(\s*["']?(?!data:|#)([^"')]+)["']?\s*\)""")
WORD = re.compile(r"[\w-]+")
NAME = re.compile(r"[.#]((?:[\w-]|\\.)+)")
FUNCTION = re.compile(r":(?:not|is|where|has)\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\]")
DARK = re.compile(r"""\[data-theme=["']?dark["']?\]""")  # a script writes it into the page
FORMULA = re.compile("<math[ >].*?</math>", re.DOTALL)
TAG = re.compile("<[^<>]*>")
ICON = re.compile(r"\\([ef][0-9a-f]{3})\b|([\ue000-\uf8ff])", re.IGNORECASE)


def join(site):
    """Join the style sheets and the scripts that every page has, and keep of them what the pages use."""
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    words = vocabulary(site, pages.values())

    makers = {"css": cache(lambda names: sheet(site, names, words)), "js": lambda names: script(site, names)}
    makers["dark.css"] = lambda names: dark(makers["css"](names))

    @cache
    def written(suffix, names):
        text = makers[suffix](names)
        path = site / f"_static/book.{hashlib.sha256(text.encode()).hexdigest()[:12]}.{suffix}"
        path.write_text(text, encoding="utf-8")
        return path.relative_to(site).as_posix()

    joined = set()
    for path, page in pages.items():
        sheets = [found[2] for found in SHEET.finditer(page)]
        scripts = [found[2] for found in SCRIPT.finditer(page) if found[2] not in ALONE]
        if not sheets or not scripts:
            continue
        up = SHEET.search(page)[1]
        style = f'\n<link rel="stylesheet" href="{up}{written("css", tuple(sheets))}">'
        asked = 'rel="stylesheet" media="screen and (prefers-color-scheme: dark)"'
        if makers["dark.css"](tuple(sheets)):
            style += f'\n<noscript><link {asked} href="{up}{written("dark.css", tuple(sheets))}"></noscript>'
        run = f'\n<script defer src="{up}{written("js", tuple(scripts))}"></script>'
        page = AFTER.sub("", PRELOADED.sub("", page))
        page = replaced(SHEET, page, sheets, style)
        page = replaced(SCRIPT, page, scripts, run)
        path.write_text(LATER.sub("<script defer", page), encoding="utf-8")
        joined.update(sheets, scripts)
    if joined:
        for path in [*(site / name for name in joined if name.endswith(".js")), *site.glob("_static/**/*.css")]:
            if not path.name.startswith("book."):
                path.unlink()
        cut_icons(site)
    if (font := site / "_static/formulas.woff2").exists():
        shrink(font, letters(pages.values()))


def replaced(pattern, page, names, text):
    """Return a page with ``text`` in the place of the first of the files, and without the others."""
    texts = iter([text])
    return pattern.sub(lambda found: next(texts, "") if found[2] in names else found[0], page)


def vocabulary(site, pages):
    """Return every word of the tags of the pages and of the scripts: what can be the name of a class."""
    words = set()
    for page in pages:
        for tag in re.findall("<[^<>]*>", page):
            words.update(WORD.findall(tag))
    for path in site.glob("_static/**/*.js"):
        words.update(WORD.findall(path.read_text(encoding="utf-8")))
    return words


def script(site, names):
    """Return scripts one after the other; a strict one does not make its neighbours strict."""
    texts = [(site / name).read_text(encoding="utf-8").replace('"use strict";', "", 1) for name in names]
    return "\n;\n".join(texts)


def sheet(site, names, words):
    """Return style sheets one after the other, each behind those that it imports, without rules that find nothing."""
    parts = []
    for name in names:
        folder = PurePosixPath(name).parent
        text = URL.sub(lambda url, at=folder: f'url("{at / url[1]}")', (site / name).read_text(encoding="utf-8"))
        rules = tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)
        for rule in needed(rules, words):
            parts.append(imported(site, folder, rule, words) or tinycss2.serialize([rule]))
    return "\n".join(parts).replace('url("_static/', 'url("')


def dark(text):
    """Return the rules of a style sheet for dark pages, for readers without scripts whose machine asks for them."""
    found = []
    for rule in tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True):
        selectors = tinycss2.serialize(rule.prelude) if rule.type == "qualified-rule" else ""
        if DARK.search(selectors):
            found.append(f"{DARK.sub(':not([data-theme])', selectors)}{{{tinycss2.serialize(rule.content)}}}")
    return "\n".join(found)


def imported(site, folder, rule, words):
    """Return what a rule imports, or nothing."""
    if rule.type == "at-rule" and rule.at_keyword == "import":
        name = next(part.value for part in rule.prelude if part.type == "string")
        return sheet(site, [os.path.normpath(folder / name)], words)


def needed(rules, words):
    """Return the rules of which some selector may find something; of a group, those in it."""
    for rule in rules:
        if rule.type == "at-rule" and rule.at_keyword in ("media", "supports", "layer") and rule.content is not None:
            rule.content = list(
                needed(tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True), words)
            )
            if rule.content:
                yield rule
        elif rule.type == "qualified-rule":
            selectors = tinycss2.serialize(rule.prelude).split(",")
            if balanced(selectors):
                selectors = [one for one in selectors if finds(one, words)]
                rule.prelude = tinycss2.parse_component_value_list(",".join(selectors))
            if selectors:
                yield rule
        elif rule.type != "error":
            yield rule


def balanced(selectors):
    """Tell whether no comma stood inside brackets."""
    return all(one.count("(") == one.count(")") for one in selectors)


def finds(selector, words):
    """Tell whether all classes and ids that a selector asks for stand in ``words``."""
    return words.issuperset(name.replace("\\", "") for name in NAME.findall(FUNCTION.sub("", selector)))


def cut_icons(site):
    """Leave in the fonts of icons those that the style sheets draw."""
    text = "".join(path.read_text(encoding="utf-8") for path in site.glob("_static/book.*.css"))
    icons = [int(code, 16) if code else ord(letter) for code, letter in ICON.findall(text)]
    for path in site.glob("_static/vendor/fontawesome/*/webfonts/*.woff2"):
        shrink(path, icons)


def letters(pages):
    """Return the characters of all formulas; a browser draws a letter alone slanted, and roots and minus by itself."""
    upright = set()
    for page in pages:
        for formula in FORMULA.findall(page):
            upright.update(html.unescape(TAG.sub("", formula)))
    return {ord(form) for one in upright for form in (one, letter(one, "ITALIC"))} | set(map(ord, "ℎ√−"))


def shrink(path, characters):
    """Leave in a font the given characters."""
    options = subset.Options(flavor="woff2", hinting=False, layout_features=["ssty"], notdef_outline=True)
    font = subset.load_font(str(path), options)
    cut = subset.Subsetter(options)
    cut.populate(unicodes=characters)
    cut.subset(font)
    subset.save_font(font, str(path), options)
    font.close()
