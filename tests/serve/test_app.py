"""The REST interface over a socket, with a model whose answer is known."""

import base64
import gzip
import http.client
import io
import json
import re
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from mmmaskformer import serve
from mmmaskformer.utils.png_ids import decode_ids
from tests.serve.sessions import META, QUERIES
from tests.serve.test_limits import encoded, png_header

STATIC = Path(serve.__file__).with_name("static")
SIZE = (100, 60)  # width and height of the photograph


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("fastapi", reason="needs extra serve")
    from tests.serve.serving import serving

    with serving() as running:
        yield running


def ask(server, method, path, body=None, headers=None):
    """Status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def form(content, name="a.png", field="file"):
    """Body and headers of an upload."""
    head = f'--XX\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--XX--\r\n"
    return body, {"content-type": "multipart/form-data; boundary=XX"}


def photo(size=SIZE):
    return encoded("PNG", size)


def add(server, size=SIZE):
    status, _, body = ask(server, "POST", "/photos", *form(photo(size)))
    assert status == 200, body
    return json.loads(body)


def get_map(server, key, **asked):
    status, headers, body = ask(server, "GET", f"/photos/{key}/map?{urlencode(asked)}")
    assert (status, headers["content-encoding"]) == (200, "gzip"), body
    body = gzip.decompress(body)
    length = int.from_bytes(body[:4], "little")
    told = json.loads(body[4 : 4 + length])
    ids = np.frombuffer(body[4 + length :], "<u2").reshape(told["height"], told["width"])
    return ids, told["entries"]


def quarter(ids):
    """The ids in the middle of the four quarters."""
    height, width = ids.shape
    return [
        int(ids[height * y // 4, width * x // 4]) for y in (1, 3) for x in (1, 3)
    ]  # fmt: skip


def test_predict_gives_segments_and_a_png(server):
    status, _, body = ask(server, "POST", "/predict", *form(photo(), "../a b.png"))
    result = json.loads(body)
    assert status == 200
    assert (result["name"], result["width"], result["height"]) == ("a b.png", *SIZE)
    assert (result["view"], result["model"]) == ("panoptic", "quarters")
    assert (result["object_threshold"], result["overlap_threshold"]) == (0.8, 0.8)
    # Two queries are sure enough: they share the picture, and each wins more than its quarter.
    assert [(s["class"], s["isthing"], s["category_id"]) for s in result["segments"]] == [
        ("sky", False, 0),
        ("car", True, 1),
    ]
    ids = decode_ids(base64.b64decode(result["png"]), "x")
    assert ids.shape == (60, 100)
    for segment in result["segments"]:
        rows, columns = np.nonzero(ids == segment["id"])
        assert segment["area"] == len(rows)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert segment["box"] == [int(edge) for edge in box]
    assert quarter(ids)[:2] == [1, 2]


def test_predict_forgets_the_photograph_and_leaves_out_the_png(server):
    query = "object_threshold=0.2&overlap_threshold=0&ids=none"
    result = json.loads(ask(server, "POST", f"/predict?{query}", *form(photo()))[2])
    assert "png" not in result
    assert {s["class"] for s in result["segments"]} == {"sky", "car", "tree"}
    assert ask(server, "GET", f"/photos/{result['id']}/map")[0] == 404


def test_thresholds_change_the_map_without_the_network(server):
    key = add(server)["id"]
    ids, entries = get_map(server, key, object_threshold=0.7)
    assert [entry["class"] for entry in entries] == ["sky", "car"]
    ids, entries = get_map(server, key, object_threshold=0.5)
    assert [entry["class"] for entry in entries] == ["sky", "car", "car"]
    assert len(set(quarter(ids)[:3])) == 3
    ids, entries = get_map(server, key, object_threshold=0.2)
    assert [entry["class"] for entry in entries] == ["tree", "sky", "car", "car"]
    assert len(set(quarter(ids))) == 4
    assert sum(entry["area"] for entry in entries) == (ids > 0).sum() == 6000
    assert get_map(server, key, object_threshold=1)[1] == []
    # A thing's second segment has a shade of its class's colour.
    colors = [entry["color"] for entry in entries]
    assert colors[:3] == [META["palette"][k] for k in (2, 0, 1)]
    assert colors[3] != colors[2]


def test_the_other_views(server):
    key = add(server)["id"]
    ids, entries = get_map(server, key, view="semantic")
    assert quarter(ids) == [1, 2, 2, 3]
    assert [entry["class"] for entry in entries] == ["sky", "car", "tree"]
    ids, entries = get_map(server, key, view="queries", object_threshold=0.2)
    assert quarter(ids) == [query + 1 for query in QUERIES]
    assert [(entry["query"], entry["category_id"]) for entry in entries] == [
        (query, label) for query, (label, _) in QUERIES.items()
    ]
    assert [entry["score"] for entry in entries] == pytest.approx([0.95, 0.9, 0.6, 0.3])


def test_the_mask_of_a_query(server):
    answer = add(server)
    assert answer["grid"] == [15, 25]
    status, _, body = ask(server, "GET", f"/photos/{answer['id']}/queries/7")
    mask = np.frombuffer(body, np.uint8).reshape(answer["grid"])
    assert status == 200
    wanted = np.zeros((15, 25), bool)
    wanted[: round(60 / 8), round(100 / 8) :] = True
    assert np.array_equal(mask == 255, wanted)
    assert np.array_equal(mask == 0, ~wanted)
    assert ask(server, "GET", f"/photos/{answer['id']}/queries/10")[0] == 404
    assert ask(server, "GET", f"/photos/{answer['id']}/queries/-1")[0] == 404


@pytest.mark.parametrize("view", ["panoptic", "semantic", "queries"])
def test_large_photographs_are_shown_smaller_and_saved_whole(server, view):
    width, height = 240, 160  # the server shows 20,000 pixels
    key = add(server, (width, height))["id"]
    asked = {"view": view, "object_threshold": 0.2, "overlap_threshold": 0.5}
    small, _ = get_map(server, key, **asked)
    assert small.shape == (round(height * (20_000 / 38_400) ** 0.5), 173)
    whole, entries = get_map(server, key, full=True, **asked)
    assert whole.shape == (height, width)
    assert quarter(small) == quarter(whole)
    if view == "queries":  # the nearest place of the small map
        for y, x in ((0, 0), (1, 79), (80, 120), (80, 119), (159, 239), (79, 121)):
            place = int((y + 0.5) / 160 * small.shape[0]), int((x + 0.5) / 240 * small.shape[1])
            assert whole[y, x] == small[place]
    result = json.loads(ask(server, "GET", f"/photos/{key}/result.json?{urlencode(asked)}")[2])
    assert [s["area"] for s in result["segments"]] == [entry["area"] for entry in entries]
    status, headers, body = ask(server, "GET", f"/photos/{key}/ids.png?{urlencode(asked)}")
    assert (status, headers["content-type"]) == (200, "image/png")
    if view == "panoptic":
        assert np.array_equal(decode_ids(body, "x"), whole)
    else:
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))) + np.uint8(1), whole)


def test_photographs_are_forgotten_when_asked_and_when_there_are_many(server):
    first, second = add(server)["id"], add(server)["id"]
    assert ask(server, "DELETE", f"/photos/{second}")[0] == 204
    assert ask(server, "GET", f"/photos/{second}/map")[0] == 404
    for _ in range(server.limits.kept):
        add(server)
    status, _, body = ask(server, "GET", f"/photos/{first}/map")
    assert (status, "send it again" in json.loads(body)["error"]) == (404, True)


WRONG = {
    "empty": (b"", 400),
    "text": (b"no image", 415),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
    "bomb": (png_header(30_000, 30_000), 413),
    "cut": (encoded("JPEG", (300, 300), quality=95)[:700], 422),
    "cut png": (encoded("PNG", (300, 300))[:-30], 422),
    "long": (b"x" * (1 << 20), 413),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("path", ["/predict", "/photos"])
def test_hostile_files_get_one_line(server, case, path):
    content, wanted = WRONG[case]
    status, headers, body = ask(server, "POST", path, *form(content))
    assert status == wanted
    assert headers["content-type"] == "application/json"
    text = json.loads(body)["error"]
    assert text
    assert "\n" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"x", {"content-type": "text/plain"}, 400),
        (b"x", {"content-type": "multipart/form-data"}, 400),
        (b"x", {"content-type": "multipart/form-data; boundary=XX"}, 400),
        (form(b"x", field="other")[0], form(b"")[1], 400),
        (b'--XX\r\nContent-Disposition: form-data; name="file"\r\n\r\n/etc/passwd\r\n--XX--\r\n',
         form(b"")[1], 400),
        (form(b"x")[0][:-8] + form(b"y")[0], form(b"")[1], 400),  # two files
    ],
)  # fmt: skip
def test_forms_without_a_photograph(server, body, headers, status):
    found, _, text = ask(server, "POST", "/predict", body, headers)
    assert found == status
    assert set(json.loads(text)) == {"error"}


@pytest.mark.parametrize(
    "query",
    ["object_threshold=2", "object_threshold=nan", "overlap_threshold=-1", "view=depth",
     "overlap_threshold=x"],
)  # fmt: skip
def test_values_out_of_their_range(server, query):
    key = add(server)["id"]
    status, _, body = ask(server, "GET", f"/photos/{key}/map?{query}")
    assert status == 422
    assert json.loads(body)["error"].startswith(query.split("=")[0])


@pytest.mark.parametrize(
    "path",
    ["/../setup.py", "/%2e%2e/setup.py", "/static/../app.py", "/app.py", "/etc/passwd", "//etc",
     "/photos/..%2f..%2fetc/map", "/photos/0-x/map", "/photos/9-x/map", "/docs", "/redoc"],
)  # fmt: skip
def test_no_path_is_opened(server, path):
    status, _, body = ask(server, "GET", path)
    assert status == 404
    assert set(json.loads(body)) == {"error"}


def test_an_upload_that_stops_or_takes_too_long(capfd):
    pytest.importorskip("fastapi", reason="needs extra serve")
    from tests.serve.serving import LIMITS, serving

    body, headers = form(photo())
    lines = ["POST /predict HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    half = "\r\n".join([*lines, "", ""]).encode() + body[:50]
    with serving(limits=replace(LIMITS, seconds=1)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(half)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 408
            assert json.loads(answer.read()) == {"error": "the upload took more than 1 s"}
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(half)
        assert ask(server, "GET", "/health")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_other_sites_are_refused(server):
    body, headers = form(photo())
    assert ask(server, "POST", "/predict", body, {**headers, "origin": "http://a.b"})[0] == 403
    assert ask(server, "GET", "/", headers={"host": "evil.example"})[0] == 403


def test_the_page_fetches_nothing_from_elsewhere(server):
    status, headers, body = ask(server, "GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    paths = set(re.findall(r'(?:src|href)="([^"]+)"', body.decode()))
    assert paths == {"/app.js", "/style.css", "/icon.svg"}
    modules = {f"/{path.name}" for path in STATIC.glob("*.js")}
    assert len(modules) > 3
    for path in paths | modules:
        status, headers, content = ask(server, "GET", path)
        assert status == 200
        assert headers["x-content-type-options"] == "nosniff"
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"^\s*// .*$|/\*.*?\*/| // .*$", "", text, flags=re.MULTILINE)
    assert not re.search(rb"\son\w+=|style=|<script>|<style>", body)  # which the policy forbids


def test_the_interface_is_described(server):
    told = json.loads(ask(server, "GET", "/openapi.json")[2])
    predict = told["paths"]["/predict"]["post"]
    upload = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert upload["required"] == ["file"]
    assert {"200", "400", "413", "415", "422", "503", "504"} <= set(predict["responses"])
    names = {parameter["name"] for parameter in predict["parameters"]}
    assert names == {"view", "object_threshold", "overlap_threshold", "ids"}
    segment = told["components"]["schemas"]["Segment"]["properties"]
    assert {"id", "class", "category_id", "score", "isthing", "area", "box"} <= set(segment)


def test_the_model_is_described(server):
    told = json.loads(ask(server, "GET", "/model")[2])
    assert told["views"] == ["panoptic", "semantic", "queries"]
    assert told["classes"] == list(META["classes"])
    assert (told["object_threshold"], told["overlap_threshold"]) == (0.8, 0.8)
    assert (told["device"], told["workers"]) == ("cpu", 1)
    assert json.loads(ask(server, "GET", "/health")[2]) == {
        "workers": 1,
        "busy": 0,
        "waiting": 0,
    }
