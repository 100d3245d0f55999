"""What a chapter stores must be what a new run can be compared with.

Each check takes one notebook and returns its problems as sentences.
"""

import re

from nbval.plugin import find_comment_markers, find_metadata_tags

from book._tools.cells import code_cells, printed_text
from resnorm_lib.claims import lines
from tests.book.figures import TYPES

MOST_EXEMPTIONS = 3
ALT_LENGTH = range(20, 251)

# Text that another machine, another day or another release prints differently. A recorded run may hold a time or a
# version all the same: its cell says so in metadata, {"resnorm": {"allow": ["a time"], "reason": "..."}}.
UNSTABLE = {
    "an unrounded number": r"(?<![\w.])(?:0\.0*[1-9]\d{4,}|[1-9]\d*\.\d{5,})",
    "an object's address": r"\b0x[0-9a-f]{6,}",
    "an absolute path": r"(?<![\w.:/~<-])/(?:[\w.-]+/)+[\w.-]+|\b[A-Z]:\\\w",
    "a time": r"(?<![\w.])\d+(?:\.\d+)? ?(?:ns|µs|us|ms|s|sec|seconds|minutes|it/s)\b|\b\d\d?:\d\d:\d\d\b",
    "a date": r"\b20\d\d-\d\d-\d\d\b",
    "a version": r"(?<![\w.])v?\d+\.\d+\.\d+",
    "a warning": r"\b\w*Warning\b",
}


def every_cell_ran_in_order(notebook):
    """Without a count nbval compares nothing."""
    cells = [(cell, where) for cell, where in code_cells(notebook) if cell.source.strip()]
    return [
        f"{where} has the count {cell.execution_count}, not {number}: restart the kernel and run all cells."
        for number, (cell, where) in enumerate(cells, start=1)
        if cell.execution_count != number
    ]


def outputs_are_clean(notebook):
    """The strict build shows a stored error as if it were a result, and nbval does not compare widgets."""
    found = []
    for cell, where in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"{where} stores an error, {output.ename}.")
            if output.get("name") == "stderr":
                found.append(f"{where} stores text on stderr: {output.text.splitlines()[0]!r}.")
            if any("widget" in mime for mime in output.get("data", {})):
                found.append(f"{where} stores a widget, which nothing compares and no page shows.")
    return found


def text_is_reproducible(notebook):
    """Nbval compares text exactly, so what differs elsewhere may not be printed."""
    return [
        f"{where} prints {kind}: {match[0]!r}."
        for cell, where in code_cells(notebook)
        for kind, pattern in UNSTABLE.items()
        if kind not in cell.metadata.get("resnorm", {}).get("allow", [])
        if (match := re.search(pattern, _text_beside_claims(cell)))
    ]


def claims_are_true_as_printed(notebook):
    """A reader judges a line by the numbers that it shows, not by those that were compared."""
    return [
        f"{where} prints what is not true: {line.id}: {line.comparison}"
        for cell, where in code_cells(notebook)
        for line in lines(printed_text(cell))
        if not (line.at_least is None or line.at_least <= line.measured)
        or not (line.at_most is None or line.measured <= line.at_most)
    ]


def exemptions_are_few_and_explained(notebook):
    """Each tag or comment that switches a comparison off is a hole that someone asked for."""
    exempt = [(cell, where) for cell, where in code_cells(notebook) if _is_exempt(cell)]
    allowing = [(cell, where) for cell, where in code_cells(notebook) if cell.metadata.get("resnorm", {}).get("allow")]
    found = [
        f"{where} is exempt from a check without a reason: say why in its metadata, resnorm.reason."
        for cell, where in exempt + allowing
        if not cell.metadata.get("resnorm", {}).get("reason", "").strip()
    ]
    if len(exempt) > MOST_EXEMPTIONS:
        found.append(f"{len(exempt)} cells switch nbval off, more than {MOST_EXEMPTIONS}.")
    return found


def figures_are_described(notebook):
    """Without an alt text of its own a figure is read aloud as the hash that names its file."""
    found, seen = [], set()
    for cell, where in code_cells(notebook):
        count = sum(mime in output.get("data", {}) for output in cell.outputs for mime in TYPES)
        if not count:
            continue
        shown = cell.metadata.get("mystnb", {})
        alt = shown.get("image", {}).get("alt", "").strip()
        caption = shown.get("figure", {}).get("caption", "").strip()
        problems = [*_alt_problems(alt), *_caption_problems(caption, alt)]
        if count > 1:
            problems.append(f"stores {count} figures, but one alt text serves one figure")
        if alt and alt in seen:
            problems.append("repeats the alt text of an earlier figure")
        seen.add(alt)
        found += [f"{where} {problem}." for problem in problems]
    return found


def _text_beside_claims(cell):
    # nbval leaves out the measured value of a claim, and the rest of its line is fixed in the source.
    return "\n".join(line for line in printed_text(cell).splitlines() if not line.startswith(("holds  ", "check  ")))


def _is_exempt(cell):
    # nbval's own reading, so that no spelling of an exemption is overlooked.
    markers = [*find_comment_markers(cell.source), *find_metadata_tags(cell.metadata)]
    return any(marker != ("check", True) for marker in markers)


def _alt_problems(alt):
    if not alt:
        return ["stores a figure without an alt text, mystnb.image.alt"]
    found = []
    if len(alt) not in ALT_LENGTH:
        found.append(f"has an alt text of {len(alt)} characters, not {ALT_LENGTH[0]} to {ALT_LENGTH[-1]}")
    if re.search(r"\.(png|jpe?g|svg)$|[0-9a-f]{16}", alt) or " " not in alt:
        found.append("has a file name for an alt text")
    if re.match(r"(an? |the )?(image|figure|picture|plot) of\b", alt, re.IGNORECASE):
        found.append("has an alt text that says that it is a figure instead of what it shows")
    return found


def _caption_problems(caption, alt):
    if not caption:
        return ["stores a figure without a caption, mystnb.figure.caption"]
    return ["repeats the alt text in the caption"] if caption == alt else []
