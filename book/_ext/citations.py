"""Two works of the same authors and year get a letter behind the year, in citations and bibliography: 2016a, 2016b."""

from collections import defaultdict


def letters(app):
    """Put the letters into the years of the bibliography as it was read, in the order of the titles."""
    entries = app.env.get_domain("cite").bibdata.data.entries.values()
    alike = defaultdict(list)
    for entry in entries:
        entry.fields["year"] = entry.fields.get("year", "").rstrip("abcdefgh")  # a build before this one left them
        alike[shown(entry)].append(entry)
    for group in alike.values():
        if len(group) > 1:
            for letter, entry in zip("abcdefgh", sorted(group, key=lambda entry: entry.fields["title"])):
                entry.fields["year"] += letter


def shown(entry):
    """Return what a citation in the text shows of a work: its authors, from three on the first alone, and its year."""
    authors = [" ".join(person.last_names) for person in entry.persons.get("author", [])]
    return tuple(authors if len(authors) < 3 else [authors[0], "et al."]), entry.fields["year"]


def setup(app):
    app.connect("builder-inited", letters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
