"""MyST Markdown as plain Markdown, for Jupyter and Colab without the book's extensions.

Directives become quotations, folded details or bold words; roles become the words that a page would show.
"""

import re

OPENING = re.compile(r"^(:{3,}|`{3,})\{([\w:-]+)\}[ \t]*(.*)$")
OPTION = re.compile(r":([\w-]+):\s*(.*)")
ROLE = re.compile(r"\{([\w:-]+)\}`([^`]+)`")
EXPLICIT = re.compile(r"(.+?)\s*<(.+)>", re.DOTALL)
TARGET = re.compile(r"^\(([\w:-]+)\)=\n+", re.MULTILINE)
FORMULA = re.compile(r"\$\$(.+?)\$\$[ \t]*\(([\w:-]+)\)", re.DOTALL)
STILL = re.compile(r"Without scripts this (\w+) stands still\.")
MOVES = r"On the chapter's page a \1 here can be moved."
NAMES_OF_CODE = ("func", "class", "meth", "mod")


def plain(text, names):
    """Return MyST text as plain Markdown; ``names`` knows what labels and keys are called."""
    text = TARGET.sub("", text)
    text = FORMULA.sub(lambda found: f"$${found[1].rstrip()} \\tag{{{names.number(found[2])}}}$$", text)
    text = ROLE.sub(lambda found: role(found[1], found[2], names), text)
    return "\n".join(without_directives(text.split("\n"), names)).strip()


def without_directives(lines, names):
    """Yield lines, each directive replaced by what stands for it."""
    lines = iter(lines)
    for line in lines:
        opening = OPENING.match(line)
        if not opening:
            yield line
            continue
        fence, name, argument = opening.groups()
        inside = list(iter(lambda fence=fence: next(lines, fence).rstrip("\n"), fence))
        options = {}
        while inside and (option := OPTION.fullmatch(inside[0].strip())):
            options[option[1]] = option[2]
            del inside[0]
        body = "\n".join(without_directives(inside, names)).strip()
        yield from directive(name, argument, options, body, names).split("\n")


def directive(name, argument, options, body, names):
    """Return what stands for a directive whose body is plain already."""
    if name == "exercise" or name.startswith("prf:"):
        return f"**{names.called(options['label'])}** {argument}\n\n{body}"
    if name in ("solution", "solution-start"):
        title = f"Solution of {names.called(argument)}"
        return folded(title, body) if name == "solution" else f"**{title}** (folded: open the cells that follow)"
    if name == "solution-end":
        return ""
    if name == "container":
        return STILL.sub(MOVES, body) if "movable" in argument else body
    if name == "table":
        return f"*{names.called(options['name'])}.* {argument}\n\n{body}"
    if name == "admonition" and "dropdown" in options.get("class", ""):
        return folded(argument, body)
    if name in ("admonition", "note", "tip", "warning", "hint"):
        title = argument if name == "admonition" else name.capitalize()
        return "\n".join(f"> {line}".rstrip() for line in [f"**{title}**", "", *body.split("\n")])
    return plain(names.generated(name, argument), names)


def folded(title, body):
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def role(name, content, names):
    """Return the words of a role."""
    explicit = EXPLICIT.fullmatch(content)
    if name in ("cite:t", "cite:p", "cite"):
        return names.cited(re.split(r"\s*,\s*", content), in_brackets=name != "cite:t")
    if name == "eq":
        return names.equation(content)
    if name.startswith("py:") or name in NAMES_OF_CODE:
        return f"`{content.rpartition('.')[2] if content.startswith('~') else content}`"
    if name == "erratum":
        return f"`{content}`"
    if explicit:
        return explicit[1]
    if name == "section":
        page, _, heading = content.partition("#")
        return ": ".join(filter(None, [names.title(page), heading]))
    if name == "doc" or (name == "ref" and not names.has(content)):
        return names.title(content)
    return names.called(content)
