"""What must hold between the files of the project: each check returns its problems as sentences."""

import re
from collections import defaultdict

from book._tools import manifest
from book._tools.cells import chapters, read
from book._tools.manifest import ROOT
from book._tools.myst import labels
from tests.book.notebooks import claim_ids

# Where a check can be started, and so where it can be weakened.
COMMANDS = ["Makefile", "*.toml", "*.cfg", "*.ini", ".pre-commit-config.yaml", ".ci/*", ".github/workflows/*"]


def pages(root=ROOT):
    """Return the paths of all pages of prose."""
    return sorted((root / "book").rglob("*.md"))


def labels_are_unique(root=ROOT):
    """The strict build links to one of two equal labels, in silence."""
    return _repeated("label", {path: _labels(path) for path in [*pages(root), *chapters(root)]}, root)


def claims_are_unique(root=ROOT):
    """A claim is cited by its id."""
    return _repeated("claim", {path: claim_ids(read(path)) for path in chapters(root)}, root)


def chapters_are_listed(root=ROOT):
    """A chapter outside the table of contents is not read."""
    listed = {page.file for page in manifest.listed(root)}
    names = [path.relative_to(root).with_suffix("").as_posix() for path in chapters(root)]
    return [f"{name} is not in _toc.yml." for name in names if name not in listed]


def nbval_is_strict(root=ROOT):
    """With ``--nbval-lax`` nothing is compared."""
    files = sorted(path for pattern in COMMANDS for path in root.glob(pattern) if path.is_file())
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}
    found = [f"{name} uses --nbval-lax, which compares nothing." for name, text in texts.items() if "nbval-lax" in text]
    if not any(re.search(r"--nbval(?![\w-])", text) for text in texts.values()):
        found.append("No command of the project runs --nbval.")
    return found


def _labels(path):
    if path.suffix == ".md":
        return labels(path.read_text(encoding="utf-8"))
    found = []
    for cell in read(path).cells:
        found += labels(cell.source) if cell.cell_type == "markdown" else []
        found += filter(None, [cell.metadata.get("mystnb", {}).get("figure", {}).get("name")])
    return found


def _repeated(kind, names_by_path, root):
    places = defaultdict(list)
    for path, names in names_by_path.items():
        for name in names:
            places[name].append(path.relative_to(root).as_posix())
    return [f"The {kind} {name!r} stands in {' and in '.join(at)}." for name, at in places.items() if len(at) > 1]
