"""The last touch to a built site: leave out what no page uses, and forbid pages all that they do not do.

The policy of a page lets it fetch from its own site alone, and run no script in its text but those that the build put
there, each named by its hash. A browser keeps to it whatever else may get into the page.
"""

import base64
import hashlib
import json
import re

UNUSED = [
    "**/*.map",  # of scripts and style sheets, for those who change the theme
    "_static/vendor/fontawesome/*/js/*",  # draws the icons that the fonts draw
    "_static/vendor/fontawesome/*/webfonts/*.ttf",  # for browsers older than those that know MathML
    "_static/webpack-macros.html",
    "_static/locales/**/*.[pm]o",  # the theme's words in other languages
]
SCRIPT = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
HANDLER = re.compile(r'<[a-z][^<>]*?\son[a-z]+="([^"]*)"')
# The theme fetches every font of icons, used or not; a font that is used is fetched by its style sheet.
PRELOADED = re.compile(r'<link rel="preload" as="font"[^>]*>')
CHARSET = re.compile(r"<meta charset=[^>]*>")
# A page opened as a file is no site of its own for every browser: "file:" lets it load its neighbours.
POLICY = (
    "default-src 'none'; script-src 'self' file: {scripts}; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data:; font-src 'self' file: data:; media-src data:; connect-src 'self'; "
    "form-action 'self' file:; base-uri 'self'"
)


def finish(site):
    """Remove unused files from a built site, and write its policy into every page."""
    for pattern in UNUSED:
        for path in site.glob(pattern):
            path.unlink()
    for path in site.glob("_sources/**/*.ipynb"):
        path.write_text(without_outputs(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in site.rglob("*.html"):
        path.write_text(guarded(PRELOADED.sub("", path.read_text(encoding="utf-8"))), encoding="utf-8")


def without_outputs(notebook):
    """Return a notebook to download: its outputs stand on its page, and a reader makes them anew."""
    read = json.loads(notebook)
    for cell in read["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return json.dumps(read, indent=1, ensure_ascii=False) + "\n"


def guarded(page):
    """Return a page with its policy, which stands before everything that it is about."""
    handlers = [*map(hashed, HANDLER.findall(page))]
    scripts = [*map(hashed, SCRIPT.findall(page)), *(["'unsafe-hashes'", *handlers] if handlers else [])]
    policy = POLICY.format(scripts=" ".join(dict.fromkeys(scripts)))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return CHARSET.sub(lambda found: found[0] + meta, page, count=1)


def hashed(script):
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
