"""The page in a real browser."""

import json
import shutil
import time

import pytest

from mmmaskformer.serve.limits import Limits
from tests.serve.sessions import META, QUERIES, make_slow_quarters
from tests.serve.test_limits import encoded

pytestmark = pytest.mark.browser
SIZE = (160, 120)
TIMEOUT = 60


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("fastapi", reason="needs extra serve")
    from tests.serve.serving import serving

    with serving(make_slow_quarters, Limits(bytes=1 << 20, kept=3)) as running:
        yield running


@pytest.fixture
def page(browser, server, request):
    """The page, with nothing on it; no error and no request to elsewhere may have happened."""
    options = getattr(request, "param", {})
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
    opened = context.new_page()
    wrong, asked = [], []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda one: asked.append((one.method, one.url)))
    opened.asked = asked
    home = f"http://127.0.0.1:{server.port}/"
    opened.goto(home)
    opened.wait_for_selector("#model:not(:empty)")
    yield opened
    assert wrong == []
    assert [url for _, url in asked if not url.startswith((home, f"blob:{home}"))] == []
    context.close()


def file(name="a.png", content=None, kind="image/png"):
    return {"name": name, "mimeType": kind, "buffer": content or encoded("PNG", SIZE)}


def until(condition):
    """Wait in Python: the page's policy lets no text be run as code."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def add(page, *files):
    page.set_input_files("#files", list(files) or [file()])
    until(lambda: page.locator("#list button").count())


def names(page):
    return page.locator("#list button span").all_inner_texts()


def set_slider(page, name, value):
    page.locator(f"#{name}").evaluate(
        "(slider, value) => { slider.value = value;"
        " slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        value,
    )


def pixel(page, x, y, canvas="paint"):
    """RGBA of the place (x, y) in [0, 1] of a canvas."""
    return page.locator(f"#{canvas}").evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData("
        "Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data]",
        [x, y],
    )


def near(color, wanted):
    return all(abs(a - b) <= 3 for a, b in zip(color, wanted, strict=False))


def test_from_a_photograph_to_its_overlay(page):
    assert page.locator("#empty").is_visible()
    assert page.locator("#controls").is_hidden()
    page.set_input_files("#files", [file()])
    until(lambda: page.locator("#state-text").inner_text() == "Segmenting…")
    until(lambda: page.locator("#list button").count())
    assert names(page) == ["sky", "car"]
    assert page.locator("#state").is_hidden()
    assert near(until(lambda: pixel(page, 0.25, 0.25)), META["palette"][0])
    assert near(pixel(page, 0.75, 0.25), META["palette"][1])
    assert pixel(page, 0.25, 0.25)[3] == round(255 * 0.55)
    areas = page.locator("#list button b").all_inner_texts()
    assert sum(int(area.split()[0]) for area in areas) == 100
    told = "a.png: 2 segments; the largest is "
    assert page.locator("#status").inner_text().startswith(told)
    assert page.locator("#paint").get_attribute("aria-label").startswith(told)


def test_thresholds_are_live_and_the_network_does_not_run(page):
    add(page)
    before = len([1 for method, _ in page.asked if method == "POST"])
    set_slider(page, "object_threshold", 50)
    until(lambda: len(names(page)) == 3)
    for value in range(49, 20, -1):  # faster than the server answers
        set_slider(page, "object_threshold", value)
    until(lambda: sorted(names(page)) == ["car", "car", "sky", "tree"])
    assert near(pixel(page, 0.75, 0.75), META["palette"][2])
    set_slider(page, "object_threshold", 100)
    until(lambda: "Lower the thresholds" in page.locator("#list").inner_text())
    page.locator("#reset").click()
    until(lambda: names(page) == ["sky", "car"])
    assert page.locator("#reset").is_hidden()
    assert len([1 for method, _ in page.asked if method == "POST"]) == before == 1


def test_opacity_needs_no_server(page):
    add(page)
    asked = len(page.asked)
    set_slider(page, "opacity", 100)
    until(lambda: pixel(page, 0.25, 0.25)[3] == 255)
    page.keyboard.press("[")
    until(lambda: pixel(page, 0.25, 0.25)[3] == round(255 * 0.95))
    page.locator("h1").click()
    page.keyboard.down(" ")
    until(lambda: pixel(page, 0.25, 0.25)[3] == 0)
    page.keyboard.up(" ")
    until(lambda: pixel(page, 0.25, 0.25)[3] > 0)
    assert len(page.asked) == asked


def test_views_and_the_masks_of_queries(page):
    add(page)
    page.keyboard.press("2")
    until(lambda: names(page) == ["car", "sky", "tree"])
    assert page.locator("#object_threshold").is_hidden()
    page.locator("#views span", has_text="Queries").click()
    until(lambda: "Queries" in page.locator("#list-title").inner_text())
    set_slider(page, "object_threshold", 20)
    until(lambda: len(names(page)) == 4)
    assert [text.split()[0] for text in names(page)] != []
    numbers = page.locator("#list em").all_inner_texts()
    assert [int(number) for number in numbers] == list(QUERIES)  # surest first
    # Query 5 answers for the lower left quarter.
    page.locator("#list button").nth(2).hover()
    until(lambda: pixel(page, 0.25, 0.75)[3] > 150 and pixel(page, 0.75, 0.25)[3] == 0)
    # The query of a pixel, on the picture.
    box = page.locator("#paint").bounding_box()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.75 * box["height"])
    until(lambda: pixel(page, 0.75, 0.75)[3] > 150 and pixel(page, 0.25, 0.75)[3] == 0)
    assert page.locator("#tip").inner_text().startswith("tree")
    assert page.locator("#list .marked").count() == 1


def test_what_is_pointed_at_stands_out(page):
    add(page)
    page.locator("#list button", has_text="car").hover()
    until(lambda: pixel(page, 0.75, 0.25)[3] == round(255 * 0.8))
    assert pixel(page, 0.25, 0.25)[3] < 60
    page.locator("#list button", has_text="car").click()
    page.mouse.move(2, 2)
    until(lambda: page.locator("[aria-pressed=true]").count() == 1)
    assert pixel(page, 0.25, 0.25)[3] < 60
    page.keyboard.press("Escape")
    until(lambda: pixel(page, 0.25, 0.25)[3] == round(255 * 0.55))


def test_several_photographs_in_a_queue(page):
    files = [file("a.png"), file("b.png", b"no image"), file("c.png")]
    page.set_input_files("#files", files)
    assert page.locator("#film li").count() == 3
    until(lambda: "of 3 ready" in page.locator("#progress").inner_text())
    until(lambda: page.locator("#film li[data-state=done]").count() == 2)
    until(lambda: page.locator("#film li[data-state=failed]").count() == 1)
    assert page.locator("#film button").nth(1).get_attribute("aria-label") == "b.png, failed"
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    assert "is no photograph" in page.locator("#state-text").inner_text()
    assert page.locator("#again").is_visible()
    page.keyboard.press("Delete")
    assert page.locator("#film li").count() == 2
    assert page.locator("#film [aria-current=true]").get_attribute("aria-label") == "c.png, ready"


def test_a_photograph_that_the_server_has_forgotten_is_sent_again(page, server):
    add(page)
    key = page.locator("#json").get_attribute("href").split("/")[2]
    status = page.evaluate("(key) => fetch(`/photos/${key}`, { method: 'DELETE' })"
                           ".then((answer) => answer.status)", key)  # fmt: skip
    assert status == 204
    set_slider(page, "object_threshold", 50)
    until(lambda: len(names(page)) == 3)
    assert page.locator("#json").get_attribute("href").split("/")[2] != key


def test_drop_and_paste(page):
    send = """([type, kind, bytes]) => {
      const data = new DataTransfer();
      const content = Uint8Array.from(bytes);
      data.items.add(new File([content], "x.png", { type: "image/png" }));
      const options = { bubbles: true, cancelable: true };
      const event = type === "paste"
        ? new ClipboardEvent(type, { ...options, clipboardData: data })
        : new DragEvent(type, { ...options, dataTransfer: data });
      return document.body.dispatchEvent(event);
    }"""
    content = list(encoded("PNG", SIZE))
    assert page.evaluate(send, ["dragover", "file", content]) is False
    assert page.locator("#drop").is_visible()
    assert page.evaluate(send, ["drop", "file", content]) is False  # the browser leaves it to us
    assert page.locator("#drop").is_hidden()
    page.evaluate(send, ["paste", "file", content])
    until(lambda: page.locator("#film li[data-state=done]").count() == 2)


def test_downloads(page):
    add(page)
    found = {}
    for key, name in (("l", "labels"), ("j", "json"), ("s", "picture")):
        with page.expect_download() as download:
            page.keyboard.press(key)
        found[name] = download.value
    assert {name: one.suggested_filename for name, one in found.items()} == {
        "labels": "a_panoptic_labels.png",
        "json": "a_panoptic.json",
        "picture": "a_panoptic.png",
    }
    result = json.loads(found["json"].path().read_text())
    assert [segment["class"] for segment in result["segments"]] == ["sky", "car"]
    from PIL import Image

    assert Image.open(found["labels"].path()).size == SIZE
    picture = Image.open(found["picture"].path()).convert("RGB")
    assert picture.size == SIZE
    wanted = [round(0.55 * part) for part in META["palette"][0]]  # over black
    assert near(picture.getpixel((20, 20)), wanted)


def open_chooser(page, attempts=3):
    """The dialog of files; on a busy machine it may open before playwright looks."""
    from playwright.sync_api import TimeoutError

    for left in reversed(range(attempts)):
        try:
            with page.expect_file_chooser(timeout=10_000) as chooser:
                page.keyboard.press("o")
            return chooser.value
        except TimeoutError:
            if not left:
                raise
    return None


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


def test_a_server_that_has_gone(browser):
    pytest.importorskip("fastapi", reason="needs extra serve")
    from tests.serve.serving import serving

    page = browser.new_page()
    with serving() as running:
        page.goto(f"http://127.0.0.1:{running.port}/")
        page.wait_for_selector("#model:not(:empty)")
    page.set_input_files("#files", [file()])
    until(lambda: "can not be reached" in page.locator("#state-text").inner_text())
    page.close()
