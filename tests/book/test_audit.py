"""The audit tells which page misses which goal, and serves pages as a host would."""

import gzip
import http.server
import threading
import urllib.request
from functools import partial

import pytest

from book._tools import audit

ALL = {"performance": 100, "accessibility": 100, "best-practices": 100, "seo": 100}


@pytest.mark.parametrize(
    ("given", "device", "expected"),
    [
        (ALL, "mobile", []),
        (ALL | {"performance": 92}, "mobile", []),
        (ALL | {"performance": 92}, "desktop", ["performance 92 < 95"]),
        (ALL | {"accessibility": 99, "seo": 90}, "mobile", ["accessibility 99 < 100", "seo 90 < 100"]),
    ],
)
def test_a_goal_that_is_missed_is_named(given, device, expected):
    assert audit.missed(given, device) == expected


def test_text_is_sent_compressed_and_pictures_are_not(tmp_path):
    (tmp_path / "page.html").write_text("a norm " * 1000)
    (tmp_path / "picture.png").write_bytes(b"png")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(audit.Compressed, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sent = [
            urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{name}")
            for name in ("page.html", "picture.png")
        ]
        assert [answer.headers["Content-Encoding"] for answer in sent] == ["gzip", None]
        text, picture = (answer.read() for answer in sent)
        server.shutdown()
    assert gzip.decompress(text).decode() == "a norm " * 1000
    assert picture == b"png"
