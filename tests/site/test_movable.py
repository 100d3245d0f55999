"""The plots that readers can move: by keyboard, with words beside the picture, with the library's numbers."""

import re

import numpy as np
import pytest
import torch

from resnorm_lib.models import resnet50
from resnorm_lib.norms import BatchNorm
from resnorm_lib.parallel import gradient_seconds, sync_norm_seconds
from resnorm_lib.reference import layer_norm_backward, layer_norm_forward, rms_norm_forward
from tests.site import browser, site

PLOTS = ("axes", "block", "gradient", "projection", "traffic")
DRAWN = ".movable-svg, .movable-drawing > table"
PLAIN_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@pytest.fixture(scope="module")
def address():
    browser.require()
    with browser.serve(site.folder()) as served:
        yield served


@pytest.fixture(scope="module")
def chromium():
    with browser.opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def homes(address):
    """The page that holds each plot."""
    texts = {path.relative_to(site.folder()).as_posix(): path.read_text() for path in site.pages(site.folder())}
    return {plot: next((name for name, text in texts.items() if f"plot-{plot}" in text), None) for plot in PLOTS}


@pytest.fixture(scope="module")
def say(chromium, address, homes):
    """What a plot says of a state."""
    page = chromium.new_page()
    page.goto(f"{address}/{homes['axes']}")
    for plot in PLOTS:
        page.add_script_tag(url=f"/_static/movable/{plot}.js")
    yield lambda plot, **state: page.evaluate("([plot, state]) => window.MOVABLE[plot].say(state)", [plot, state])
    page.close()


@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_has_its_place_in_a_chapter(plot, homes):
    assert homes[plot], f"no page holds plot-{plot}"


@pytest.mark.parametrize("opened", ["served", "as a file"])
@pytest.mark.parametrize("plot", PLOTS)
def test_the_keyboard_moves_the_plot_and_the_sentence_follows(plot, opened, chromium, address, homes):
    page = chromium.new_page()
    page.goto(f"{address if opened == 'served' else site.folder().resolve().as_uri()}/{homes[plot]}")
    place = page.locator(f".plot-{plot}")
    place.scroll_into_view_if_needed()
    place.locator(DRAWN).first.wait_for()
    sentence = place.locator("[aria-live=polite]")
    for control in place.locator("input, select").all():
        before = sentence.text_content(), place.locator(".movable-drawing").inner_html()
        control.focus()
        page.keyboard.press("ArrowLeft" if control.get_attribute("type") == "range" else "ArrowDown")
        page.wait_for_timeout(100)
        assert (sentence.text_content(), place.locator(".movable-drawing").inner_html()) != before
    assert place.locator("[role=img], table").count() == 1
    for picture in place.locator("[role=img]").all():
        assert picture.get_attribute("aria-label") == sentence.text_content()
    assert place.locator("label").count() == place.locator("input, select").count()
    page.close()


@pytest.mark.parametrize("plot", PLOTS)
def test_what_draws_a_plot_is_small_and_fetched_when_the_plot_comes_near_the_screen(plot, chromium, address, homes):
    page = chromium.new_page()
    asked = []  # the bodies are read afterwards: not all have come when their response is told
    page.on("response", lambda response: asked.append(response))
    page.goto(f"{address}/{homes[plot]}", wait_until="load")
    assert not [each for each in asked if each.url.endswith((f"{plot}.js", "drawing.js"))]
    page.locator(f".plot-{plot}").scroll_into_view_if_needed()
    page.locator(f".plot-{plot}").locator(DRAWN).first.wait_for()
    movable = [each for each in asked if "/movable/" in each.url]
    fetched = {each.url.rpartition("/")[2].partition("?")[0]: len(each.body()) for each in movable}
    assert fetched.keys() == {"start.js", "drawing.js", f"{plot}.js"}
    assert sum(fetched.values()) < 25_000
    page.close()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("plot", PLOTS)
def test_all_that_is_drawn_lies_within_the_drawing(plot, width, chromium, address, homes):
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{address}/{homes[plot]}")
    page.locator(f".plot-{plot}").scroll_into_view_if_needed()
    drawn = page.locator(f".plot-{plot}").locator(DRAWN)
    drawn.wait_for()
    outside = drawn.evaluate("""drawn => {
        const all = drawn.getBoundingClientRect();
        return [...drawn.querySelectorAll("text, rect, circle, td")].filter(each => {
            if (each.localName === "td" && each.scrollWidth > each.clientWidth + 1) return true;
            const {left, right, top, bottom} = each.getBoundingClientRect();
            return left < all.left - 1 || right > all.right + 1 || top < all.top - 1 || bottom > all.bottom + 1;
        }).map(each => each.outerHTML);
    }""")
    assert not outside
    page.close()


def test_pages_without_a_plot_have_no_script_for_one(homes):
    front = site.parse(site.folder() / "book/index.html")
    assert not front.find("script", src=re.compile("movable|errata"))
    assert site.parse(site.folder() / homes["axes"]).find("script", src=re.compile("movable/start"))


@pytest.mark.parametrize("plot", PLOTS)
def test_without_scripts_a_sentence_and_the_still_figure_remain(plot, chromium, address, homes):
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(f"{address}/{homes[plot]}")
    place = page.locator(f".plot-{plot}")
    assert place.is_visible()
    still = place.locator("a").first.get_attribute("href")
    assert page.locator(f"{still} img").count() == 1
    page.close()


@pytest.mark.parametrize("x", [(1, 2, 3), (2, -1.5, 0.25), (-3, 3, 0)])
@pytest.mark.parametrize(("norm", "forward"), [("LayerNorm", layer_norm_forward), ("RMSNorm", rms_norm_forward)])
def test_the_projection_is_the_one_of_the_library(norm, forward, x, say):
    told = say("projection", norm=norm, x1=x[0], x2=x[1], x3=x[2], turn=0)
    y = [float(number) for number in re.search(r"y = \((.*?)\)", told)[1].split(",")]
    assert y == pytest.approx(forward([x], eps=0.0)[0][0], abs=0.0051)


def test_a_constant_vector_is_left_with_nothing_to_rescale(say):
    assert "y is 0" in say("projection", norm="LayerNorm", x1=2, x2=2, x3=2, turn=0)


@pytest.mark.parametrize(
    ("norm", "axes"),
    [
        ("LayerNorm", (2,)),
        ("RMSNorm", (2,)),
        ("BatchNorm", (0, 1)),
        ("InstanceNorm", (1,)),
        ("GroupNorm, 2 groups", None),
    ],
)
def test_as_many_entries_share_a_mean_as_the_axes_hold(norm, axes, say):
    shape = (3, 4, 6)
    count = 4 * 3 if axes is None else int(np.prod([shape[axis] for axis in axes]))
    assert f"together with {count - 1} other entries" in say("axes", norm=norm, entry=50)


def test_the_gradient_laws_are_those_of_the_chapter(say):
    told = say("gradient", depth=40, scale=0.5)
    written = re.findall(r"(\d+\.?\d*)(?: × 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", told)
    numbers = [float(digits) * 10 ** int(power.translate(PLAIN_DIGITS) or 0) for digits, power in written]
    plain, residual, normed = numbers[-3:]
    assert plain == pytest.approx(0.5**40, rel=0.06)
    assert residual == pytest.approx(1.25**20, rel=0.06)
    assert normed == pytest.approx((1 + 0.25 * 40) ** 0.5, rel=0.06)


@pytest.mark.parametrize("x", [(1, 2, 3), (2, -1.5, 0.5), (-3, 3, 0)])
@pytest.mark.parametrize("shortcut", ["on", "off"])
def test_the_block_by_hand_is_the_one_of_the_library(x, shortcut, say):
    told = say("block", x1=x[0], x2=x[1], x3=x[2], shortcut=shortcut).replace("\N{MINUS SIGN}", "-")
    rows = [[float(number) for number in row.split(",")] for row in re.findall(r"\(([^()]*,[^()]*)\)", told)]
    gain, bias, dy, on = np.full(3, 2.0), np.ones(3), np.array([1.0, 1, 0]), float(shortcut == "on")
    n, cache = layer_norm_forward([x], gain, bias)
    dx = layer_norm_backward(np.roll(dy, 1) * (n > 0), cache)[0][0] + on * dy
    assert rows[1] == pytest.approx(on * np.array(x) + np.roll(np.maximum(n[0], 0), -1), abs=0.0051)
    assert rows[-1] == pytest.approx(dx, abs=0.0051)


@pytest.mark.parametrize("algorithm", ["tree", "ring"])
@pytest.mark.parametrize("devices", [2, 64, 1024])
def test_the_times_of_messages_are_those_of_the_library(devices, algorithm, say):
    told = say("traffic", devices=str(devices), latency=20, bandwidth=50, algorithm=algorithm)
    gradients, statistics, rounds = (float(number) for number in re.findall(r"(\d+\.?\d*) ms", told))
    with torch.device("meta"):
        model = resnet50()
    channels = [part.num_features for part in model.modules() if isinstance(part, BatchNorm)]
    line = {"latency": 20e-6, "bandwidth": 50e9, "algorithm": algorithm}
    size = sum(parameter.numel() for parameter in model.parameters())
    assert gradients == pytest.approx(1e3 * gradient_seconds(size, devices, **line), rel=0.005)
    assert statistics == pytest.approx(1e3 * sync_norm_seconds(channels, devices, **line), rel=0.005)
    assert rounds <= statistics
