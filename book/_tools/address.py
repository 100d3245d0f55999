"""Write the address of the repository wherever the project says it: ``python -m book._tools.address URL [PAGES]``.

The pages of a repository on GitHub are at its owner's github.io unless PAGES says where else. Then every page has its
buttons to the repository, a canonical address and its place in the site's map, and reference managers know both.
"""

import re
import sys
from pathlib import Path

WRONG = "{} is {!r}, but it must be a whole address: https://github.com/owner/name"
BUTTONS = ("use_repository_button", "use_edit_page_button", "use_issues_button")


def pages_of(repository):
    """Return where GitHub shows the pages of a repository; "" if it lies elsewhere."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository)
    return f"https://{found[1].lower()}.github.io/{found[2]}/" if found else ""


def write(root, repository, pages):
    """Change the files in the folder ``root``."""
    home = pages or repository
    config = [(r"^(  url): .*", rf'\1: "{repository}"'), (r"^(  baseurl): .*", rf'\1: "{pages}"')]
    config += [(rf"^(  {button}): .*", r"\1: true") for button in BUTTONS]
    cited = [(r"^(repository-code): .*", rf'\1: "{repository}"'), (r"^(url): .*", rf'\1: "{home}"')]
    package = [
        (r"^(Repository) = .*", rf'\1 = "{repository}"'),
        (r"^(Homepage) = .*", rf'\1 = "{home}"'),
    ]
    urls = "[project.urls]\nHomepage = \nRepository = \n\n[project.optional-dependencies]"
    substitute(root / "_config.yml", config)
    substitute(root / "CITATION.cff", cited, ("license: MIT", "repository-code: \nurl: \nlicense: MIT"))
    named = [(r"^(  url) = .*", rf"\1 = {{{home}}},")]
    substitute(root / "book/how_to_run.md", named, ("  note = {Version", "  url = {},\n  note = {Version"))
    substitute(root / "pyproject.toml", package, ("[project.optional-dependencies]", urls))


def substitute(path, changes, first=("", "")):
    """Change lines of a file, after putting in the ones that it does not have."""
    text = path.read_text(encoding="utf-8")
    if not re.search(changes[0][0], text, flags=re.MULTILINE):
        text = text.replace(*first, 1)
    for pattern, line in changes:
        text = re.sub(pattern, line, text, count=1, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


def main(words):
    repository, pages = ([word.rstrip("/") for word in words] + ["", ""])[:2]
    repository = repository.removesuffix(".git")  # what git clones; the pages have no such name
    for name, address in [("URL", repository), ("PAGES", pages)]:
        if not re.fullmatch(r"https://[\w.-]+(/[\w./~-]+)?", address) and (name == "URL" or address):
            sys.exit(WRONG.format(name, address))
    pages = f"{pages}/" if pages else pages_of(repository)
    write(Path(), repository, pages)
    print(f"Repository: {repository}. Pages: {pages or 'none; PAGES=https://... says where they are'}. Now: make book")


if __name__ == "__main__":
    main(sys.argv[1:])
