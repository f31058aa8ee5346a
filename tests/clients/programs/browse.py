"""browse.py PAGE PIN URL TOKEN FILE...: opens PAGE in Chromium and has it add the members in each FILE.

PAGE defines `window.add(url, token, members)`. PIN is the one server key that Chromium takes without asking its own
authorities (`tests.support.tls.key_pin`).
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import ConsoleMessage, sync_playwright


def tell(message: ConsoleMessage) -> None:
    """The page's own words (a refusal by CORS is told nowhere else)."""
    sys.stderr.write(f"{message.text}\n")


page_url, pin, url, token, *files = sys.argv[1:]
flags = [
    f"--ignore-certificate-errors-spki-list={pin}",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
if os.geteuid() == 0:
    flags.append("--no-sandbox")
with (
    TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    sync_playwright() as playwright,
    playwright.chromium.launch_persistent_context(
        profile, executable_path="/usr/bin/chromium", headless=True, args=flags, timeout=30_000
    ) as browser,
):
    page = browser.new_page()
    page.on("console", tell)
    page.goto(page_url, timeout=20_000)
    for file in files:
        page.wait_for_function("window.add", timeout=10_000)
        answer = page.evaluate(
            "([url, token, members]) => add(url, token, members)", [url, token, Path(file).read_text(encoding="utf-8")]
        )
        sys.stdout.write(f"{answer['body']} {answer['status']}\n")
