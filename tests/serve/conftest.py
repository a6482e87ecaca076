"""The page in a real browser: what its tests start."""

import shutil

import pytest

from mmmaskformer.serve.limits import Limits
from tests.serve.sessions import make_slow_quarters


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
