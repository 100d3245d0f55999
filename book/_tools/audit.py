"""Judge five kinds of page by Lighthouse, on a phone and on a desktop: ``python -m book._tools.audit SITE LIGHTHOUSE``.

The pages are served compressed, as hosts do. The times that Lighthouse simulates depend on the machine a little; what
does not is tested in ``tests/site/test_weight.py``. A score below its goal ends in exit code 1.
"""

import functools
import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from book._tools import chromium

PAGES = ["book/index.html", "chapters/family_of_norms.html", "chapters/layer_norm_mathematics.html", "book/errata.html",
         "book/api/norms.html"]  # fmt: skip
GOALS = {"performance": {"mobile": 90, "desktop": 95}, "accessibility": 100, "best-practices": 100, "seo": 100}


class Compressed(http.server.SimpleHTTPRequestHandler):
    """Send files with gzip, to be kept for a year."""

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        kind = self.guess_type(str(path))
        text = kind.startswith("text/") or kind.endswith(("javascript", "json", "xml"))
        body = gzip.compress(path.read_bytes()) if text else path.read_bytes()
        self.send_response(200)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "max-age=31536000"}
        for name, value in (headers | ({"Content-Encoding": "gzip"} if text else {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def scores(url, device, lighthouse):
    """Return what Lighthouse gives a page: ``{category: score of 100}``, and the audits that cost points."""
    command = [lighthouse / "node_modules/.bin/lighthouse", url, "--quiet", "--output=json", "--output-path=stdout"]
    command += ["--chrome-flags=--headless --no-sandbox --disable-gpu", f"--only-categories={','.join(GOALS)}"]
    command += ["--preset=desktop"] if device == "desktop" else []
    environment = os.environ | {"CHROME_PATH": chromium.executable()}
    report = json.loads(subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout)
    given = {name: round(100 * (category["score"] or 0)) for name, category in report["categories"].items()}
    counted = {
        ref["id"] for category in report["categories"].values() for ref in category["auditRefs"] if ref["weight"]
    }
    lost = [name for name in counted if (report["audits"][name]["score"] or 0) < 0.9]
    return given, sorted(lost)


def missed(given, device):
    """Return the categories whose goal a page does not reach."""
    goals = {name: goal[device] if isinstance(goal, dict) else goal for name, goal in GOALS.items()}
    return [f"{name} {given[name]} < {goal}" for name, goal in goals.items() if given[name] < goal]


def main(site, lighthouse):
    if not chromium.executable():
        sys.exit("Lighthouse needs a Chromium or Chrome: make browser installs one on Debian and Ubuntu.")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Compressed, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    below = 0
    for page in PAGES:
        for device in ("mobile", "desktop"):
            given, lost = scores(f"http://127.0.0.1:{server.server_port}/{page}", device, Path(lighthouse))
            wrong = missed(given, device)
            below += bool(wrong)
            numbers = " ".join(f"{given[name]:3d}" for name in GOALS)
            print(f"{device:8s} {page:40s} {numbers}  {'; '.join(wrong + lost if wrong else ['reached'])}", flush=True)
    sys.exit(f"{below} of {2 * len(PAGES)} pages miss a goal." if below else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
