"""What tests do with the page."""

import time

from tests.serve.test_limits import encoded

SIZE = (160, 120)
TIMEOUT = 60


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
