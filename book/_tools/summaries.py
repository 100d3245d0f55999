"""What the search of a built site knows beside Sphinx' index: ``_static/search.js`` shows it, and orders hits by it."""

import html
import json
import re
from collections import Counter, defaultdict

DESCRIPTION = re.compile(r'<meta name="description" content="([^"]*)"')
NO_PROSE = re.compile(r"^.*?<article|</article>.*|<(script|pre|math)\b.*?</\1>|<[^>]*>", re.DOTALL)
LETTERS = re.compile(r"[^\W\d_]{2,}")
APPENDIX = ("errata_", "questions")  # they speak of everything


def summarize(site):
    """Write into a script what each page is about, and which chapters speak most of a word: the search shows both."""
    said = {}
    for path in sorted(site.rglob("*.html")):
        if found := DESCRIPTION.search(path.read_text(encoding="utf-8")):
            said[path.relative_to(site).as_posix()] = html.unescape(found[1])
    (site / "_static").mkdir(exist_ok=True)
    lines = (f"window.{name} = {json.dumps(what, ensure_ascii=False, separators=(',', ':'))};\n"
             for name, what in (("SUMMARIES", said), ("LEADING", leading(site))))  # fmt: skip
    (site / "_static/summaries.js").write_text("".join(lines), encoding="utf-8")


def leading(site, most=3, least=3):
    """Return the chapters, and for each word the numbers of those in which it is most frequent."""
    chapters = [path for path in sorted(site.glob("chapters/*.html")) if not path.stem.startswith(APPENDIX)]
    shares = defaultdict(list)
    for number, path in enumerate(chapters):
        counts = Counter(LETTERS.findall(NO_PROSE.sub(" ", path.read_text(encoding="utf-8")).lower()))
        for word, count in counts.items():
            if count >= least:
                shares[word].append((-count / counts.total(), number))
    words = {word: [number for _, number in sorted(found)[:most]] for word, found in sorted(shares.items())}
    return {"pages": [f"chapters/{path.stem}" for path in chapters], "words": words}
