"""Files from a server that cuts connections, lies, or is not there."""

import hashlib
import socket

import pytest

from mmmaskformer.zoo import download as module
from mmmaskformer.zoo.download import DownloadError, download
from tests.zoo.server import Site, serving

CONTENT = bytes(i * 7 % 251 for i in range(200_000))
MD5 = hashlib.md5(CONTENT).hexdigest()
FILE = "/some/model_final.pkl"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No pauses, no proxy, and small reads, so that cuts come between two of them."""
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "CHUNK", 10_000)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def fetch(site, path, md5=MD5[:6], name=FILE):
    with serving(site) as address:
        download(address + name, path, md5)
    return [asked for _, asked in site.asked]


def test_a_file_comes_whole_and_alone(tmp_path, capsys):
    path = tmp_path / "new" / "model.pkl"
    assert fetch(Site({FILE: CONTENT}), path) == [None]
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["model.pkl"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "downloading model.pkl: 0 % of 0.2 MB"
    assert lines[-1] == "downloading model.pkl: 100 % of 0.2 MB"
    assert len(lines) == 11  # no terminal: a line for each 10 %


def test_a_terminal_has_one_line_that_is_ended(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fetch(Site({FILE: CONTENT}), tmp_path / "a")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.endswith("\n")
    assert [piece.strip() for piece in shown.split("\r")[1:]] == [
        f"downloading a: {percent} % of 0.2 MB" for percent in range(0, 101, 5)
    ][1:]
    with pytest.raises(DownloadError):
        fetch(Site({FILE: CONTENT}), tmp_path / "b", md5="abcdef")
    assert capsys.readouterr().err.endswith("\n")


def test_cut_connections_go_on_where_they_were_cut(tmp_path):
    site = Site({FILE: CONTENT}, cuts=[50_000, 60_001, 0, 1, 0, 0, 0])
    asked = fetch(site, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    starts = [0, 50_000, 110_001, 110_001, 110_002, 110_002, 110_002, 110_002]
    assert asked == [f"bytes={start}-" if start else None for start in starts]


def test_too_many_cuts_without_anything_new_end_and_the_next_call_goes_on(tmp_path):
    site = Site({FILE: CONTENT}, cuts=[70_000, 0, 0, 0, 0, 0])
    with pytest.raises(DownloadError, match="after 5 tries: it was cut off after 70000 bytes"):
        fetch(site, tmp_path / "a")
    assert len(site.asked) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["a.part"]
    assert fetch(Site({FILE: CONTENT}), tmp_path / "a") == ["bytes=70000-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_begins_again(tmp_path, capsys):
    site = Site({FILE: CONTENT}, cuts=[70_000], ranges=False)
    assert fetch(site, tmp_path / "a") == [None, "bytes=70000-"]
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert all(line.endswith("of 0.2 MB") for line in capsys.readouterr().err.splitlines())


def test_a_piece_from_another_place_is_not_appended(tmp_path):
    site = Site({FILE: CONTENT}, cuts=[70_000])
    site.early = 10
    assert fetch(site, tmp_path / "a", md5="") == [None, "bytes=70000-", None]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_first_piece_of_another_file_is_thrown_away(tmp_path):
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    assert fetch(Site({FILE: CONTENT}), tmp_path / "a") == ["bytes=1000-", None]
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_a_piece_that_is_all_of_the_file_or_more(tmp_path, extra):
    (tmp_path / "a.part").write_bytes(CONTENT + extra)
    asked = [f"bytes={len(CONTENT + extra)}-"] + [None] * bool(extra)
    assert fetch(Site({FILE: CONTENT}), tmp_path / "a", md5="") == asked
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_wrong_sum_is_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(DownloadError, match=f"has the MD5 {MD5}, wanted one that begins with abc"):
        fetch(Site({FILE: CONTENT}), tmp_path / "a", md5="abcdef")
    assert not list(tmp_path.iterdir())


def test_a_size_that_never_comes(tmp_path):
    site = Site({FILE: CONTENT}, ranges=False)
    site.longer = 10
    with pytest.raises(DownloadError, match="after 5 tries: it was cut off after 200000 bytes"):
        fetch(site, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_server_that_states_no_length(tmp_path, capsys):
    fetch(Site({FILE: CONTENT}, lengths=False), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert capsys.readouterr().err.splitlines() == ["downloading a: 0 MB"]


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_file_that_is_not_there_is_not_asked_for_again(tmp_path, code):
    site = Site({FILE: CONTENT}, codes=[code])
    with pytest.raises(DownloadError, match=f"model_final.pkl can not be downloaded: HTTP {code}"):
        fetch(site, tmp_path / "a")
    assert len(site.asked) == 1
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_busy_is_asked_again(tmp_path):
    assert len(fetch(Site({FILE: CONTENT}, codes=[503, 429, 500]), tmp_path / "a")) == 4
    with pytest.raises(DownloadError, match="after 5 tries: HTTP 503"):
        fetch(Site({FILE: CONTENT}, codes=[503] * 5), tmp_path / "b")


def test_a_redirect_is_followed_with_the_range(tmp_path):
    site = Site({FILE: CONTENT}, cuts=[20_000])
    site.redirects["/old.pkl"] = FILE
    fetch(site, tmp_path / "a", name="/old.pkl")
    assert (tmp_path / "a").read_bytes() == CONTENT
    ranges = [None, None, "bytes=20000-", "bytes=20000-"]
    assert site.asked == list(zip(["/old.pkl", FILE] * 2, ranges, strict=True))


def test_a_silent_server_counts_as_a_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    monkeypatch.setattr(module, "TRIES", 2)
    site = Site({FILE: CONTENT}, delay=1.5)
    with pytest.raises(DownloadError, match="the server is silent"):
        fetch(site, tmp_path / "a")
    # What came before the silence is kept: half of the rest each time, until nothing new comes.
    assert site.asked[1][1] == "bytes=100000-"


def test_no_network_is_said_at_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DownloadError, match="can not be reached: .*refused"):
            download(f"http://127.0.0.1:{port}/a", tmp_path / "a")
    with pytest.raises(DownloadError, match=r"no-such-host\.invalid/a can not be reached"):
        download("http://no-such-host.invalid/a", tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_names_the_file(tmp_path):
    (tmp_path / "a.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(Site({FILE: CONTENT}), tmp_path / "a")
    assert caught.value.filename == str(tmp_path / "a.part")
