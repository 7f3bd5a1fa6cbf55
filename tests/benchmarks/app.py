"""How quickly the app opens, shows its first view, and follows a slider.

    python tests/benchmarks/app.py [--shots FOLDER]

Start: from the command to the open port, wall clock and the process's own processor time. First view: from the
address to the button of the first tab, in headless Chromium. Preview: a slider of the Edit tab is dragged; each call
takes from its request to the new picture in the browser, and the server's share of it. Wanted: below 6 s, 3 s, 0.2 s.
Live: pictures per second that `MirrorPipeline` alone makes of a camera's 384x288, and processor time of each; and those
that come to the page of the Animate tab, with Chromium's share of the same machine. 15 are wanted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import numpy as np  # noqa: E402
from app_server import Server  # noqa: E402
from app_visitor import write_camera  # noqa: E402

PORTRAIT = ROOT / "demos" / "assets" / "astronaut.jpg"
STARTS, VIEWS, STEPS, LIVE = 3, 3, 20, 10
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
ARRIVED = """async seconds => {
    let count = 0, last = '';
    for (const began = performance.now(); performance.now() - began < 1000 * seconds;) {
        const now = document.querySelector('#mirror-portrait img')?.src;
        if (now && now != last) { count++; last = now; }
        await new Promise(done => setTimeout(done, 4));
    }
    return count / seconds;
}"""
LATENCY = """() => new Promise(done => {
    const picture = [...document.querySelectorAll('#edit-preview img')].pop(), before = picture.src;
    const began = performance.now(), look = () => picture.src != before && picture.complete
        ? done(performance.now() - began) : requestAnimationFrame(look);
    const slider = document.querySelector("#tab-edit input[type=range][aria-label='Smile']");
    slider.value = (parseFloat(slider.value) + 0.05) % 1;
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    look();
})"""
SERVER = "performance.getEntriesByType('resource').filter(e => e.name.includes('/run/')).map(e => e.duration)"


def processor(server: Server) -> float:
    """Processor seconds of the server so far."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shots", type=Path, help="also save pictures of the Edit tab there")
    shots = parser.parse_args().shots
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        starts = []
        for _ in range(STARTS):
            with Server(Path(folder)) as server:
                starts.append((server.seconds, processor(server)))
        wall, busy = (statistics.median(part) for part in zip(*starts, strict=True))
        print(f"{'start':14}{wall:8.2f} s wall {busy:8.2f} s processor")
        seen = performance()
        camera = write_camera(Path(folder) / "camera.y4m", seen, 25)
        with Server(Path(folder)) as server:
            browse(server, shots, camera)
    live(seen)
    return 0


def performance() -> list:
    """What a camera sees: somebody who moves, 12 pictures (288, 384, 3)."""
    from pipelines import ExpressionEditPipeline

    actor = ExpressionEditPipeline().prepare(PORTRAIT, size=288)
    seen = [actor(shapes={"jawOpen": 0.05 * k}, yaw=k - 6).image for k in range(12)]
    return [np.ascontiguousarray(np.pad(picture, ((0, 0), (48, 48), (0, 0)))) for picture in seen]


def live(seen: list) -> None:
    """A portrait before a camera that sees another picture each time, without browser and network."""
    from pipelines import MirrorPipeline

    mirror = MirrorPipeline(PORTRAIT, size=320)
    for picture in 3 * seen:
        mirror(picture)
    began, busy = time.perf_counter(), time.process_time()
    for picture in LIVE * seen:
        mirror(picture)
    count = LIVE * len(seen)
    wall, busy = (time.perf_counter() - began) / count, (time.process_time() - busy) / count
    print(f"{'live':14}{1 / wall:8.1f} pictures/s {1000 * busy:8.1f} ms processor each")


def browse(server: Server, shots: Path | None, camera: Path) -> None:
    """First views, previews, and the portrait before a camera."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", *CAMERA, f"--use-file-for-fake-video-capture={camera}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        views = []
        for _ in range(VIEWS):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            began = time.perf_counter()
            page.goto(server.url)
            page.locator("#animate-go").wait_for()
            views.append(time.perf_counter() - began)
            page.context.close()
        print(f"{'first view':14}{statistics.median(views):8.2f} s wall")
        page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
        page.goto(server.url)
        page.get_by_role("tab", name="Edit", exact=True).click()
        page.locator("#tab-edit input[type=file]").first.set_input_files(str(PORTRAIT))
        page.locator("#edit-preview img").last.wait_for(timeout=120_000)
        page.wait_for_timeout(2000)
        page.evaluate(LATENCY)
        page.evaluate("performance.clearResourceTimings()")
        seen = [page.evaluate(LATENCY) for _ in range(STEPS)]
        served = page.evaluate(SERVER)
        for name, times in (("preview", seen), ("of it, served", served)):
            print(f"{name:14}{statistics.median(times):8.0f} ms median {max(times):8.0f} ms longest")
        if shots:
            page.locator("#tab-edit input[aria-label*='Smile']").last.scroll_into_view_if_needed()
            page.mouse.wheel(0, 200)
            page.wait_for_timeout(1000)
            page.screenshot(path=shots / "edit-390.png")
        page.context.close()
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(server.url)
        page.locator("#tab-animate input[type=file]").first.set_input_files(str(PORTRAIT))
        page.get_by_role("tab", name="Live", exact=True).click()
        shown = page.locator("#mirror-camera")
        shown.get_by_role("button", name="Click to Access Webcam").click()
        shown.get_by_role("button", name="start recording").or_(shown.get_by_text("Record")).first.click()
        page.locator("#mirror-portrait img").wait_for(timeout=120_000)
        page.wait_for_timeout(3000)
        print(f"{'live, browser':14}{page.evaluate(ARRIVED, LIVE):8.1f} pictures/s")
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
