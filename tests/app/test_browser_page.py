"""The page as a whole in a real browser: toasts, stop, settings that stay, phone and dark, keyboard, names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from app_visitor import LONG, PHONE

pytestmark = pytest.mark.slow

ASSETS = Path(__file__).resolve().parents[2] / "demos" / "assets"
PORTRAIT = ASSETS / "astronaut.jpg"
PRESSED = {"button", "textbox", "slider", "spinbutton", "combobox", "listbox", "checkbox", "radio", "tab", "link"}
"""Roles of parts that take something from a user."""


def test_settings_come_back_with_the_page(visit):
    visitor = visit()
    slider = visitor.tab("Edit").get_by_role("slider", name="Jaw open", exact=True).first
    before = visitor.kept_at_rest("edit")
    slider.focus()
    visitor.page.keyboard.press("End")
    visitor.wait_for_keeping("edit", before)
    tab, before = visitor.tab("Animate"), visitor.kept_at_rest("animate")
    tab.get_by_role("button", name="Expression and life").click()
    strength = tab.get_by_label("number input for Strength of the emotion")
    strength.fill("0.85")
    strength.blur()
    visitor.wait_for_keeping("animate", before)
    visitor.kept_at_rest("animate")
    visitor.page.reload()
    visitor.page.locator("#animate-go").wait_for()
    tab.get_by_role("button", name="Expression and life").click()
    visitor.wait_for_value(strength, "0.85")
    visitor.wait_for_value(visitor.tab("Edit").get_by_role("slider", name="Jaw open", exact=True).first, "1")
    before = visitor.kept_at_rest("edit")
    visitor.page.get_by_role("button", name="All sliders back").first.click()
    visitor.wait_for_value(slider, "0")
    visitor.wait_for_keeping("edit", before)


def test_an_engine_without_its_files_says_how_to_get_them(visit):
    pytest.importorskip("torch", reason="without it that is what is said (extra: models)")
    visitor = visit()
    tab = visitor.tab("Head")
    visitor.give(tab, PORTRAIT)
    tab.get_by_label("Engine").first.click()
    visitor.page.get_by_role("option", name="DECA").click()
    toast = visitor.page.get_by_test_id("toast-body").filter(has_text="DECA face reconstruction")
    toast.first.wait_for(timeout=LONG)
    words = toast.first.inner_text()
    assert "Its authors" in words and "the models' folder" in words and "/root" not in words


def test_the_samples_need_no_network_and_are_shown_wherever_one_is(visit):
    visitor = visit()
    for name in ("Edit", "Head"):
        tab = visitor.tab(name)
        tab.get_by_role("button", name="The sample portrait").click()
        tab.locator("img[src*='astronaut']").first.wait_for()
    waves = ".component-wrapper, [data-testid='waveform-Speech']"
    tab = visitor.tab("Animate")
    tab.get_by_role("tab", name="Text").click()
    tab.get_by_role("button", name="The sample portrait and speech").click()
    tab.locator("img[src*='astronaut']").first.wait_for()
    tab.locator(waves).first.wait_for()
    tab = visitor.tab("Capture")  # opens at its videos
    tab.get_by_role("button", name="The sample speech").click()
    tab.locator(waves).first.wait_for()


def test_an_error_is_a_toast_that_says_what_to_do(visit):
    visitor = visit()
    visitor.page.locator("#animate-go").click()
    toast = visitor.page.get_by_test_id("toast-body")
    toast.first.wait_for()
    assert "Which portrait? Give a picture with a face" in toast.first.inner_text()
    assert "Traceback" not in visitor.page.content()
    visitor.shoot("toast")


def test_stop_ends_the_work_and_leaves_no_file(visit, served):
    made = lambda: {path for path in served.places()[0].rglob("*animated*")}
    before, visitor = made(), visit()
    tab = visitor.tab("Animate")
    visitor.give_photo(tab, PORTRAIT)
    visitor.give(tab, ASSETS / "speech.wav", 1)
    tab.locator(".component-wrapper, [data-testid='waveform-Speech']").first.wait_for()
    visitor.page.locator("#animate-go").click()
    tab.get_by_text("left").first.wait_for(timeout=LONG)  # the bar tells the time that is left
    visitor.shoot("progress")
    tab.get_by_role("button", name="Stop").click()
    visitor.page.get_by_text("Stopped; no file was left behind").wait_for()
    visitor.page.wait_for_timeout(1000)
    assert made() == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_in_light_and_dark(visit, scheme):
    visitor = visit(PHONE, color_scheme=scheme, has_touch=True)
    ground = visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = np.mean([int(part) for part in ground.strip("rgba() ").split(",")[:3]])
    assert (brightness < 80) == (scheme == "dark")
    for name in ("Animate", "Edit", "Capture", "Head", "Generate"):
        visitor.tab(name).get_by_role("button").first.wait_for()
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        visitor.shoot(f"{name.lower()}-{scheme}")


def test_a_screen_reader_has_a_name_for_everything_that_one_can_press(visit):
    visitor = visit()
    accessible = visitor.context.new_cdp_session(visitor.page)
    for name in ("Animate", "Edit", "Capture", "Head", "Generate", "Models", "About"):
        visitor.tab(name).get_by_role("button").first.wait_for()
        seen = accessible.send("Accessibility.getFullAXTree")["nodes"]
        parts = [node for node in seen if node.get("role", {}).get("value") in PRESSED and not node["ignored"]]
        nameless = [node for node in parts if not node.get("name", {}).get("value", "").strip()]
        assert len(parts) > 8 and nameless == [], name


def test_the_keyboard_reaches_the_tabs(visit):
    visitor = visit()
    visitor.page.get_by_role("tab", name="Animate", exact=True).focus()
    for _ in range(12):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate("document.activeElement.innerText") == "Edit":
            break
    visitor.page.keyboard.press("Enter")
    visitor.page.locator("#edit-go").wait_for()
