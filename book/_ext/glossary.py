"""The Chinese terms of the glossary: read aloud in their language, and together in the index."""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

CHINESE = re.compile("[\u4e00-\u9fff]")
HEADING = "中文"  # "Chinese": over these terms in the index, where each would stand below its first character


class MarkChinese(SphinxTransform):
    """Give Chinese terms their language, and their heading in the index."""

    default_priority = 900  # after typography, which has no quotation marks for the language

    def apply(self, **kwargs):
        for glossary in self.document.findall(addnodes.glossary):
            for term in filter(is_chinese, glossary.findall(nodes.term)):
                term["classes"].append("language-zh-Hans")
                for index in term.findall(addnodes.index):
                    index["entries"] = [(*entry[:4], HEADING) for entry in index["entries"]]


def is_chinese(term):
    return bool(CHINESE.search(term.astext()))


def setup(app):
    app.add_transform(MarkChinese)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
