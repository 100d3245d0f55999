"""The last touch to a built site: make it light, and forbid pages all that they do not do.

The policy of a page lets it fetch from its own site alone, and run no script in its text but those that the build put
there, each named by its hash. A browser keeps to it whatever else may get into the page.
"""

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from PIL import Image

from book._tools.joined import join
from book._tools.summaries import summarize

UNUSED = [
    "**/*.map",  # of scripts and style sheets, for those who change the theme
    "_static/vendor/fontawesome/*/js/*",  # draws the icons that the fonts draw
    "_static/vendor/fontawesome/*/webfonts/*.ttf",  # for browsers older than those that know MathML
    "_static/webpack-macros.html",
    "_static/locales/**/*.[pm]o",  # the theme's words in other languages
    "_sources/**/*.ipynb",  # a reader gets the one that runs anywhere, which lies in run/
]
NOTEBOOK = re.compile(r'_sources/[^"]*?([^"/]+\.ipynb)(?=")')
# Names, brackets and spaces of code have the colour of the code around them: half of a page's elements say nothing.
UNCOLOURED = ("n", "nn", "p", "w")
WORD = re.compile(rf'<span class="(?:{"|".join(UNCOLOURED)})">([^<]*)</span>')
NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'  # HTML knows what math is
# The TeX of a formula, which no browser shows or reads out: a fifth of the elements of a page of mathematics.
SOURCE = re.compile(r"<semantics>(.*?)<annotation [^>]*>[^<]*</annotation></semantics>", re.DOTALL)
FIGURE = re.compile(r'(_images/[^"/]+)\.png(?=")')
SCRIPT = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
PRESS = re.compile(r' onclick="([\w.]+)\(\)"')  # _static/pages.js does what it names
HANDLER = re.compile(r'<[a-z][^<>]*?\son[a-z]+="([^"]*)"')
SECOND_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1" />'  # docutils has its own
# The theme asks for the reader's colours when the page is drawn, and then once more: a flash, and work done twice.
UNASKED = 'localStorage.getItem("theme") || ""'
ASKED = 'localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'
BACK = re.compile(r'(<a class="viewcode-back" href=")([^"#]+)#([^"]+)"')
ID = re.compile(r' id="([^"]+)"')
JOINT = re.compile(r"(?<=[A-Za-z0-9])([._])(?=[A-Za-z])")  # where a long name may go on in the next line
ENTRY = re.compile(r"(?<=\">)[^<]+(?=</a>)")
CHARSET = re.compile(r"<meta charset=[^>]*>")
# A page opened as a file is no site of its own for every browser: "file:" lets it load its neighbours.
POLICY = (
    "default-src 'none'; script-src 'self' file: {scripts}; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data:; font-src 'self' file: data:; media-src data:; connect-src 'self'; "
    "form-action 'self' file:; base-uri 'self'"
)


def finish(site):
    """Leave unused files out of a built site, make its figures light, and write its policy into every page."""
    for pattern in UNUSED:
        for path in site.glob(pattern):
            path.unlink()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lighten, site.glob("_images/*.png")))
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        page = FIGURE.sub(r"\1.webp", NOTEBOOK.sub(r"run/\1", page))
        page = WORD.sub(r"\1", page).replace(NAMESPACE, "").replace(SECOND_VIEWPORT, "").replace(UNASKED, ASKED)
        page = PRESS.sub(r' data-press="\1"', page)
        path.write_text(SOURCE.sub(r"\1", page), encoding="utf-8")
    for path in (site / "_modules").rglob("*.html"):
        path.write_text(led_back(site, path), encoding="utf-8")
    if (index := site / "genindex.html").exists():
        page = index.read_text(encoding="utf-8")
        index.write_text(ENTRY.sub(lambda entry: JOINT.sub(r"\1<wbr>", entry[0]), page), encoding="utf-8")
    summarize(site)
    join(site)
    for path in site.rglob("*.html"):
        path.write_text(guarded(path.read_text(encoding="utf-8")), encoding="utf-8")


def led_back(site, path):
    """Return a listing whose links to the documentation lead to where its objects stand on those pages.

    Sphinx knows one module for each listing, that from which the first of its objects was documented.
    """

    module = ".".join(path.relative_to(site / "_modules").with_suffix("").parts)

    def right(link):
        ids, words = ids_of((path.parent / link[2]).resolve()), link[3].split(".")
        ends = [".".join(words[start:]) for start in range(len(words))]
        own = [f"{module}.{end}" for end in ends]
        shorter = [each for end in ends for each in ids if each.endswith(f".{end}")]
        name = next((name for name in [link[3], *own, *shorter] if name in ids), link[3])
        return f'{link[1]}{link[2]}#{name}"'

    return BACK.sub(right, path.read_text(encoding="utf-8"))


@cache
def ids_of(path):
    return ID.findall(path.read_text(encoding="utf-8"))


def lighten(figure):
    """Write a figure as WebP in the place of PNG: the same pixels in a third of the bytes, and slower gains little."""
    with Image.open(figure) as image:
        image.save(figure.with_suffix(".webp"), lossless=True, quality=50, method=1)
    figure.unlink()


def guarded(page):
    """Return a page with its policy, which stands before everything that it is about."""
    handlers = [*map(hashed, HANDLER.findall(page))]
    scripts = [*map(hashed, SCRIPT.findall(page)), *(["'unsafe-hashes'", *handlers] if handlers else [])]
    policy = POLICY.format(scripts=" ".join(dict.fromkeys(scripts)))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return CHARSET.sub(lambda found: found[0] + meta, page, count=1)


def hashed(script):
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
