"""The report as a browser shows it: no fault on its console, nothing asked of any other machine."""

import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
QUIET = ("background-networking", "component-update", "sync", "default-apps", "extensions", "gpu")
NO_PAGE = "not an origin"  # what Chromium asks for itself


def shown(page, folder, width):
    """``(faults, addresses)``: lines of the console, and what the page asked of the network."""
    log, picture = folder / "net.json", folder / "page.png"
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless=new", "--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET),
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", f"--window-size={width},1600",
            f"--screenshot={picture}", page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert picture.stat().st_size > 1000
    events = [event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"]]
    asked = {event["url"] for event in events if event.get("initiator", NO_PAGE) != NO_PAGE and "url" in event}
    return re.findall(r"CONSOLE.*", done.stderr), {url for url in asked if not url.startswith(("file:", "data:", "blob:"))}


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_finds_no_fault_and_asks_no_other_machine(finished, tmp_path, width):
    assert shown(finished / "data/report/index.html", tmp_path, width) == ([], set())


def test_a_page_with_faults_is_seen_to_have_them(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<img src='http://127.0.0.1:9/a.png'><script>nothing()</script>", encoding="utf-8")
    faults, asked = shown(page, tmp_path, 800)
    assert "nothing is not defined" in faults[0]
    assert asked == {"http://127.0.0.1:9/a.png"}
