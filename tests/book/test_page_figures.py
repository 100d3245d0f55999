"""A figure on a page says how large it is before it is there, and opens in full when touched."""

from types import SimpleNamespace

from bs4 import BeautifulSoup
from PIL import Image

from book._ext import figures

BODY = '<p><img alt="A curve." src="../_images/curve.png" /><img alt="" src="../_static/logo.svg"/></p>'


def test_a_figure_has_its_size_and_leads_to_the_picture_alone(tmp_path):
    Image.new("RGB", (938, 485)).save(tmp_path / "stored.png")
    builder = SimpleNamespace(name="html", images={"stored.png": "curve.png"})
    context = {"body": BODY}
    figures.place(SimpleNamespace(builder=builder, srcdir=tmp_path), "chapters/demo", "page.html", context, None)
    curve, logo = BeautifulSoup(context["body"], "html.parser").select("img")
    assert (curve["width"], curve["height"], curve["loading"]) == ("938", "485", "lazy")
    assert curve.parent["href"] == curve["src"] == "../_images/curve.png"
    assert curve["alt"] == "A curve."
    assert logo.parent.name == "p"
