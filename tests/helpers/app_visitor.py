"""A page of the app in a real browser, for tests."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image, ImageStat

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LONG = 200_000
"""Milliseconds that a result may take on a busy machine."""

SHOTS = os.environ.get("FACE_STUDIO_SHOTS")


def write_camera(path, pictures, fps):
    """Pictures (H, W, 3) uint8 RGB as a file that Chromium takes for a camera, over and over."""
    import cv2

    with path.open("wb") as file:
        for k, picture in enumerate(pictures):
            if k == 0:
                rate = f"{fps.numerator}:{fps.denominator}"
                file.write(f"YUV4MPEG2 W{picture.shape[1]} H{picture.shape[0]} F{rate} Ip A1:1 C420jpeg\n".encode())
            file.write(b"FRAME\n" + cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


class Visitor:
    """A page in a context of its own, and what its console complained about."""

    def __init__(self, chromium, url, viewport=DESK, **options):
        self.context = chromium.new_context(viewport=viewport, **options)
        self.page, self.complaints = self.context.new_page(), []
        self.page.set_default_timeout(120_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda r: self._asked(r.url, url))
        self.page.goto(url)
        self.page.locator("#animate-go").wait_for()

    def _heard(self, message):
        if message.type == "error" and "WebGPU" not in message.text:  # there is none here: the 3D view takes WebGL
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def _asked(self, address, url):
        if not address.startswith((url, "data:", "blob:")):
            self.complaints.append(f"something was asked of {address}")

    def tab(self, name):
        self.page.get_by_role("tab", name=name, exact=True).click()
        return self.page.locator(f"#tab-{name.lower()}")

    def give(self, tab, path, number=0):
        tab.locator("input[type=file]").nth(number).set_input_files(str(path))

    def give_photo(self, tab, path):
        """Gives the tab's first picture, and waits until it is there."""
        self.give(tab, path)
        tab.get_by_role("button", name="Remove Image").or_(tab.get_by_label("Clear")).first.wait_for()

    def results(self, tab, folder, count=1):
        """The files that a tab offers, downloaded: {name: path}."""
        links, toast = tab.locator(".files a[download]"), self.page.locator(".toast-body.error").first
        links.nth(count - 1).or_(toast).first.wait_for(timeout=LONG)
        assert not toast.is_visible(), toast.inner_text()
        got = {}
        for k in range(links.count()):
            with self.page.expect_download() as waiting:
                links.nth(k).click()
            path = folder / waiting.value.suggested_filename
            waiting.value.save_as(path)
            got[path.name] = path
        return got

    def kept(self, tab):
        """What the browser remembers of a tab, as it is stored."""
        return self.page.evaluate(f"localStorage['face-studio-{tab}'] || ''")

    def kept_at_rest(self, tab):
        """What it remembers once the page has settled: some of it is stored while the page is still being made."""
        quiet, last = 0, self.kept(tab)
        for _ in range(LONG // 250):
            self.page.wait_for_timeout(250)
            now = self.kept(tab)
            quiet, last = (quiet + 1 if now == last else 0), now
            if quiet == 6:
                break
        return last

    def wait_for_keeping(self, tab, before):
        self.page.wait_for_function(f"before => localStorage['face-studio-{tab}'] != before", arg=before, timeout=LONG)

    def wait_for_value(self, input_, value):
        input_.wait_for()
        self.page.wait_for_function("([e, v]) => e.value == v", arg=[input_.element_handle(), value], timeout=LONG)

    def wait_for_picture(self, part):
        """Waits until something is drawn in a part of the page, such as a canvas."""
        part.wait_for()
        for _ in range(LONG // 1000):
            with Image.open(io.BytesIO(part.screenshot())) as picture:
                if max(ImageStat.Stat(picture.convert("RGB")).stddev) > 10:
                    return
            self.page.wait_for_timeout(1000)
        raise AssertionError("nothing was drawn")

    def shoot(self, name):
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}-{self.page.viewport_size['width']}.png")
