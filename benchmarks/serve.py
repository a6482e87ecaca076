"""The page: from a dropped photograph to its overlay, and from a threshold to the next overlay.

    python -m benchmarks.serve --model maskformer_r50_coco-panoptic

Random weights, with class scores spread over [0, 1]: all queries are of an object at the lowest
thresholds, which is the worst case. "beside the network" is what a user waits beyond the network's
own time. "http" ends when the ids are there; "browser" ends when the canvas is painted (it needs
playwright, and chromium).
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import io
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from benchmarks.kit.measure import machine
from mmmaskformer.utils.command import run

SERVE = "from mmmaskformer.cli.main import main; main()"
SPREAD = 40.0
"""The classifier's weights are multiplied by this: scores of random weights are all alike."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="maskformer_r50_coco-panoptic")
    parser.add_argument("--size", type=int, nargs=2, default=(1000, 1000), metavar=("H", "W"))
    parser.add_argument("--repeats", type=int, default=5, help="photographs")
    parser.add_argument("--changes", type=int, default=40, help="of a threshold")
    return parser.parse_args()


def write_weights(model: str, path: Path) -> None:
    """A checkpoint of random weights whose scores differ."""
    from mmmaskformer.zoo import load

    torch.manual_seed(0)
    segmentor = load(model, "random", device="cpu")
    with torch.no_grad():
        segmentor.decode_head.predictor.class_embed.weight *= SPREAD
    torch.save({"meta": {}, "state_dict": segmentor.state_dict()}, path)


@contextmanager
def server(model: str, checkpoint: Path) -> Iterator[int]:
    """The port of `mmmaskformer serve`."""
    command = [sys.executable, "-W", "ignore", "-c", SERVE, "serve", "--port", "0"]
    command += ["--model", model, "--checkpoint", str(checkpoint)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    yield int(found[1])
                    return
            raise RuntimeError(f"the server ended with {process.wait()}")
        finally:
            process.terminate()


def photograph(size: tuple[int, int], seed: int) -> bytes:
    """A JPEG of smooth noise."""
    height, width = size
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 40, width // 40, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.BICUBIC).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def ask(port: int, method: str, path: str, body: bytes = b"", kind: str = "") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method, path, body, {"content-type": kind} if kind else {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {content[:200]!r}")
    return content


def upload(port: int, content: bytes) -> dict:
    head = b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    kind = "multipart/form-data; boundary=X"
    return json.loads(ask(port, "POST", "/photos", head + content + b"\r\n--X--\r\n", kind))


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def over_http(port: int, photographs: list[bytes], thresholds: list[float]) -> dict:
    """Seconds {what: list}, of a client that is no browser."""
    found: dict[str, list[float]] = {"network": [], "beside the network": [], "threshold": []}
    for content in photographs:
        start = time.perf_counter()
        answer = upload(port, content)
        gzip.decompress(ask(port, "GET", f"/photos/{answer['id']}/map"))
        found["network"].append(answer["network_seconds"])
        found["beside the network"].append(time.perf_counter() - start - answer["network_seconds"])
    time.sleep(5)  # the worker gets ready, as it does while somebody looks at the overlay
    for threshold in thresholds:
        path = f"/photos/{answer['id']}/map?object_threshold={threshold}&overlap_threshold=0.5"
        found["threshold"].append(
            seconds(lambda path=path: gzip.decompress(ask(port, "GET", path)))
        )
    return found


MOVE = """
(value) => new Promise((resolve) => {
  const slider = document.getElementById("object_threshold");
  const text = `object_threshold=${value / 100}&`;
  const start = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
  const look = () => {
    if (document.getElementById("json").href.includes(text)) {
      requestAnimationFrame(() => resolve(performance.now() - start));
    } else requestAnimationFrame(look);
  };
  look();
})
"""


def in_browser(port: int, photographs: list[bytes], thresholds: list[float]) -> dict | None:
    """The same as a user of the page sees it; None without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    found: dict[str, list[float]] = {"beside the network": [], "threshold": []}
    with sync_playwright() as playwright:
        options = {"args": ["--no-sandbox"], "executable_path": shutil.which("chromium")}
        page = playwright.chromium.launch(**options).new_page()
        network = []
        page.on("response", lambda r: r.url.endswith("/photos") and network.append(r.json()))
        for content in photographs:
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector("#model:not(:empty)")
            file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": content}
            start = time.perf_counter()
            page.set_input_files("#files", file)
            page.wait_for_selector("#paint[aria-label]")
            total = time.perf_counter() - start
            page.wait_for_timeout(100)  # playwright hands out the answer of the network
            found["beside the network"].append(total - network[-1]["network_seconds"])
        page.wait_for_timeout(5000)
        for value in thresholds:
            found["threshold"].append(page.evaluate(MOVE, round(100 * value)) / 1000)
    return found


def main() -> None:
    args = parse_args()
    photographs = [photograph(tuple(args.size), seed) for seed in range(args.repeats + 1)]
    # Far jumps and small steps; no value twice in a row, as the page asks only once.
    values = [k / 100 for k in range(1, 100)]
    thresholds = random.Random(0).sample(values, min(args.changes, len(values)))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.pth"
        write_weights(args.model, weights)
        with server(args.model, weights) as port:
            upload(port, photographs.pop())  # the first run is slow
            results = {"http": over_http(port, photographs, thresholds)}
            results["browser"] = in_browser(port, photographs, thresholds)
    size = "x".join(map(str, args.size))
    table = Table(
        "", "", "median ms", "slowest ms", title=f"{args.model}, {size}, {machine('cpu')}"
    )
    for where, measured in results.items():
        for what, times in (measured or {"no browser": []}).items():
            row = [f"{1000 * of(times):.0f}" if times else "-" for of in (statistics.median, max)]
            table.add_row(where, what, *row)
    Console(width=120).print(table)


if __name__ == "__main__":
    run(main)
