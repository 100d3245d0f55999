"""Movable plots: Plotly's script travels with the site; movable/start.js looks for places to use it."""

from pathlib import Path

import plotly


def add_plotly(app, config):
    config.html_static_path.append(str(Path(plotly.__file__).parent / "package_data" / "plotly.min.js"))


def setup(app):
    app.connect("config-inited", add_plotly)
    app.add_js_file("movable/start.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
