"""The page in a real browser: what it does."""

import json

import pytest

from tests.serve.page import (
    SIZE,
    add,
    encoded,
    file,
    names,
    near,
    pixel,
    set_slider,
    until,
)
from tests.serve.sessions import META, QUERIES

pytestmark = pytest.mark.browser


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
