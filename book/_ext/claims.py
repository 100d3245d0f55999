"""The printed lines of claims and checks as a list: a tick, the sentence, value and bound, seeds, and the source.

The code of a cell that does nothing else is folded behind "Show the check", an output alone behind "Show the answer".
"""

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinxcontrib.bibtex.citation_target import CitationTarget
from sphinxcontrib.bibtex.roles import CitationRef

from resnorm_lib.claims import parts

PROMPTS = {"prompt_show": "Show the check", "prompt_hide": "Hide the check"}
ANSWERS = {"prompt_show": "Show the answer", "prompt_hide": "Hide the answer"}  # to "Predict first"


class ListClaims(SphinxTransform):
    """Replace what cells print by lists of claims, wherever a line is one."""

    default_priority = 400  # before the bibliography collects the citations of the page

    def apply(self, **kwargs):
        for cell in [*self.document.findall(nodes.container)]:
            if cell.get("nb_element") == "cell_code":
                if cell.get("hide_mode") == "output":
                    cell.attributes.update(ANSWERS)
                streams = [*cell.findall(lambda node: "stream" in getattr(node, "attributes", {}).get("classes", ()))]
                made = [(stream, self.blocks(stream)) for stream in streams]
                for stream, blocks in made:
                    stream.parent.replace(stream, blocks)
                if made and all(isinstance(block, nodes.bullet_list) for _, blocks in made for block in blocks):
                    cell.attributes.update({key: text for key, text in PROMPTS.items() if key in cell})

    def blocks(self, stream):
        """Return what the page shows for one printed text: lists of claims, and literal blocks for all else."""
        found = []
        for words in parts(stream.astext()):
            if isinstance(words, str):
                block = stream.copy()
                block += nodes.Text(words)
                block.rawsource = words
            else:
                block = nodes.bullet_list(classes=["claims"])
                block += [self.item(line) for line in words]
            found.append(block)
        return found

    def item(self, line):
        text = nodes.paragraph("", "", nodes.inline("", "✓ ", classes=["tick"]), nodes.Text(line.statement + ": "))
        text += nodes.strong("", line.comparison.replace("<=", "≤").replace(">=", "≥"))
        if line.seeds:
            text += nodes.inline("", f" ({line.seeds})", classes=["seeds"])
        if line.source:
            text += [nodes.Text(" "), self.citation(line.source)]
        return nodes.list_item("", text, classes=[line.word], ids=[nodes.make_id(f"claim-{line.id}")])

    def citation(self, key):
        """Return what ``{cite:p}`key``` would."""
        ref = addnodes.pending_xref("", nodes.inline("", key), refdomain="cite", reftype="p", reftarget=key,
                                    refdoc=self.env.docname, refexplicit=False, refwarn=True)  # fmt: skip
        self.document.note_explicit_target(ref, ref)
        self.env.get_domain("cite").citation_refs.append(
            CitationRef(ref["ids"][0], self.env.docname, 0, [CitationTarget(key, "", "")])
        )
        return ref


def setup(app):
    app.add_transform(ListClaims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
