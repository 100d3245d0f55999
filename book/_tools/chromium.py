"""The browser that opens the pages: where it is, and the words that start it."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium itself may not speak to anyone either, or its own calls would be counted as the site's.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def executable():
    """Return the path of a Chromium, or None."""
    candidates = [os.environ.get("RESNORM_BROWSER"), *map(shutil.which, NAMES)]
    return next((path for path in candidates if path), None)


def launch(playwright):
    """Start the browser under playwright's hands."""
    return playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
