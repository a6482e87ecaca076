"""The page in a real browser, for everybody: keyboard, names of controls, phones, contrast."""

import pytest

from tests.serve.page import add, file, pixel, until

pytestmark = pytest.mark.browser


def open_chooser(page):
    """The dialog of files. Chromium opens one that nobody can close if it is asked for before
    playwright has said that it looks for it."""
    opened = []
    page.on(
        "filechooser", lambda chooser: opened.append(chooser)
    )  # no method, which playwright writes to
    page.evaluate("() => 0")  # the browser has heard of that when it answers this
    page.keyboard.press("o")
    while not opened:
        page.wait_for_timeout(20)
    return opened[0]


def test_everything_can_be_done_with_the_keyboard(page):
    open_chooser(page).set_files([file()])
    until(lambda: page.locator("#list button").count())
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("() => document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("car, score 0.90, area ")
    until(lambda: pixel(page, 0.25, 0.25)[3] < 60)  # the car is marked
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-pressed')") == "true"
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#keys").is_hidden()
    # By Tab alone one reaches every control; each can be seen when it is reached.
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        what = page.evaluate(
            "() => { const e = document.activeElement; const shown = e.closest('label') ?? e;"
            " const style = getComputedStyle(e.matches('input[type=radio]')"
            " ? e.nextElementSibling : e);"
            " return [e.id || e.name || e.tagName, style.outlineStyle]; }"
        )
        if what[0] != "BODY":
            assert what[1] != "none", what
        seen.add(what[0])
    wanted = {"add", "help", "view", "opacity", "object_threshold", "overlap_threshold", "names"}
    assert wanted | {"save", "labels", "json"} <= seen


def test_every_control_has_a_name(page):
    add(page)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input:not([type=file]), [role=img]")]
          .filter((e) => e.checkVisibility() && !(e.getAttribute("aria-label")
            || e.innerText?.trim() || e.labels?.[0]?.innerText.trim())).map((e) => e.outerHTML)"""
    )
    assert unnamed == []


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_phone_scrolls_down_only(page):
    add(page)
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width == 390
    box = page.locator("#paint").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.touchscreen.tap(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    until(lambda: page.locator("#list [aria-pressed=true]").count() == 1)
    assert page.locator("#list [aria-pressed=true] span").inner_text() == "car"


@pytest.mark.parametrize(
    "page", [{"color_scheme": scheme} for scheme in ("light", "dark")], indirect=True
)
def test_text_is_readable_in_both_schemes(page):
    """Contrast of at least 4.5 to 1 between text and ground, as WCAG wants it."""
    add(page)
    ratios = page.evaluate(
        """() => {
          const light = (text) => {
            const parts = text.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
              .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
          };
          const ground = (e) => {
            for (; e; e = e.parentElement) {
              const color = getComputedStyle(e).backgroundColor;
              if (!/, 0\\)$|transparent/.test(color)) return color;
            }
          };
          const texts = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility()
            && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
          return texts.map((e) => {
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
            return [e.tagName + e.id, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
          });
        }"""
    )
    assert len(ratios) > 15
    assert [one for one in ratios if one[1] < 4.5] == []
