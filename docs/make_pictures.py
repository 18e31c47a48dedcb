"""Make the picture of the README from the runs in results/: python docs/make_pictures.py

Needs Chromium (apt-get install chromium, or its path in LVAE_CHROMIUM) and what the tests need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
STUDY = "results/topics-declared"
SHOWN = (1000, 1104)
"""Width and height in CSS pixels of the part of the report that is shown."""
COLOURS = 256


def main() -> None:
    """Summarize the study, and keep a picture of the head of its report."""
    with tempfile.TemporaryDirectory() as place:
        options = ["--no-samples", "--no-cache", "--quiet", "--out", place]
        command = [sys.executable, "analysis/summarize.py", STUDY, *options]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        photograph(Path(place) / "report.html", IMAGES / "report.png")


def photograph(page: Path, out: Path) -> None:
    """Save the first screen of a page as a small PNG."""
    chromium = os.environ.get("LVAE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        width, height = SHOWN
        opened = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=1.4)
        opened.goto(page.as_uri())
        opened.screenshot(path=out)
        browser.close()
    # A page has few colours; a palette makes the file a third as large.
    Image.open(out).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(out, optimize=True)
    print(f"{out.relative_to(ROOT)}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
