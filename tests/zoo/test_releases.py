"""Released weights: downloaded once from a local server, converted, kept."""

import hashlib
import logging
import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from mmengine.logging import MMLogger

from mmmaskformer.checkpoints.naming import CheckpointError
from mmmaskformer.cli.main import main
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.zoo import catalogue, download, load, releases, weights
from mmmaskformer.zoo.download import DownloadError
from tests.commands import mistake
from tests.conftest import SMALL_CONFIG, WARM
from tests.zoo.server import Site, serving

HOST = "https://dl.fbaipublicfiles.com"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of converted weights, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for variable in (releases.ACCEPT, releases.OFFLINE, releases.MIRROR):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return tmp_path / "torch/hub/checkpoints/mmmaskformer"


def release(monkeypatch, content, name=SMALL_CONFIG):
    """Let a model of the package be one whose weights are `content`; its path on the server."""
    path = f"/shapes/model_final_{hashlib.md5(content).hexdigest()[:6]}.pkl"
    listed = tuple(
        replace(model, weights=f"{HOST}{path}", licence="CC BY-NC 4.0")
        if model.name == name
        else model
        for model in catalogue.models()
    )
    monkeypatch.setattr(catalogue, "models", lambda: listed)
    monkeypatch.setattr(releases, "models", lambda: listed)
    return path


@contextmanager
def mirror(content, monkeypatch):
    """A running mirror that has `content` as the weights of the small model."""
    site = Site({f"/mirror{release(monkeypatch, content)}": content})
    with serving(site) as address:
        monkeypatch.setenv(releases.MIRROR, f"{address}/mirror/")
        yield site


@pytest.fixture
def site(cache, released, monkeypatch):
    """A mirror with the small model, in the format of the original."""
    with mirror(released.read_bytes(), monkeypatch) as site:
        yield site


def keep(model, release, target):
    """Stands for the conversion where a test is about the download."""
    os.replace(release, target)


@pytest.fixture
def bytes_site(cache, monkeypatch):
    """A mirror with bytes that are kept as they come."""
    monkeypatch.setattr(releases, "convert_release", keep)
    with mirror(bytes(range(256)) * 4000, monkeypatch) as site:
        yield site


def test_weights_are_downloaded_once_and_become_the_model(
    site, cache, small_model, capsys, monkeypatch
):
    (address,) = site.files
    path = weights(SMALL_CONFIG, accept_license=True)
    digest = address[-10:-4]
    assert path == cache / f"{SMALL_CONFIG}_{digest}.pth"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{SMALL_CONFIG}: the weights that the paper's authors released are")
    assert "CC BY-NC 4.0" in lines[0]
    assert lines[-1] == f"converting {SMALL_CONFIG}"
    assert {p.name for p in cache.iterdir()} == {path.name, f".{path.stem}.lock"}
    said = []
    monkeypatch.setattr(MMLogger, "callHandlers", lambda _, record: said.append(record))
    model = load(SMALL_CONFIG)  # the licence was agreed to when it was downloaded
    assert not [record for record in said if record.levelno >= logging.INFO]
    assert len(site.asked) == 1
    assert capsys.readouterr() == ("", "")  # pipes of results stay clean
    for name, tensor in small_model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    content = torch.load(path, weights_only=True)
    table = metainfo("shapes")
    assert content["meta"]["dataset_meta"]["classes"] == table["classes"]
    assert content["meta"]["licence"] == "CC BY-NC 4.0"
    assert model.dataset_meta["palette"] == table["palette"]


@pytest.mark.parametrize("value", [None, "0", ""])
def test_nothing_is_downloaded_without_agreement(bytes_site, cache, monkeypatch, value):
    if value is not None:
        monkeypatch.setenv(releases.ACCEPT, value)
    with pytest.raises(ValueError, match=r"CC BY-NC 4\.0.*--accept-license.*ACCEPT_LICENSE=1"):
        load(SMALL_CONFIG)
    assert not bytes_site.asked
    assert not cache.exists()
    monkeypatch.setenv(releases.ACCEPT, "1")
    assert weights(SMALL_CONFIG).is_file()


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_offline_uses_what_is_there_and_downloads_nothing(bytes_site, cache, monkeypatch, by):
    if by == "variable":
        monkeypatch.setenv(releases.OFFLINE, "1")
    offline = {"offline": True} if by == "argument" else {}
    with pytest.raises(FileNotFoundError, match=f"weights of {SMALL_CONFIG} are not in {cache}"):
        load(SMALL_CONFIG, accept_license=True, **offline)
    assert not bytes_site.asked
    monkeypatch.delenv(releases.OFFLINE, raising=False)
    path = weights(SMALL_CONFIG, accept_license=True)
    monkeypatch.setenv(releases.OFFLINE, "1")
    assert weights(SMALL_CONFIG, offline=True) == path


def test_a_cut_download_is_resumed_by_the_next_call(bytes_site, cache, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 2)
    bytes_site.cuts = [300_000, 0]
    with pytest.raises(DownloadError, match="what came is kept"):
        weights(SMALL_CONFIG, accept_license=True)
    assert [p.suffix for p in cache.iterdir() if p.suffix != ".lock"] == [".part"]
    path = weights(SMALL_CONFIG, accept_license=True)
    assert [asked for _, asked in bytes_site.asked] == [None, "bytes=300000-", "bytes=300000-"]
    assert path.read_bytes() == bytes(range(256)) * 4000


def test_404_and_wrong_sums_leave_nothing(bytes_site, cache):
    site = bytes_site
    (address,) = site.files
    content = site.files.pop(address)
    with pytest.raises(DownloadError, match=rf"{address} can not be downloaded: HTTP 404"):
        weights(SMALL_CONFIG, accept_license=True)
    site.files[address] = content[:-1] + b"?"
    with pytest.raises(DownloadError, match="damaged on its way or is another file"):
        weights(SMALL_CONFIG, accept_license=True)
    assert [p.suffix for p in cache.iterdir()] == [".lock"]


def test_a_file_of_another_model_is_refused_and_deleted(site, cache, monkeypatch):
    (content,) = site.files.values()
    name = "maskformer_r50_camvid"
    site.files[f"/mirror{release(monkeypatch, content, name)}"] = content
    with pytest.raises(CheckpointError, match=rf"is MaskFormer, 10 classes.* {name} builds .*11"):
        weights(name, accept_license=True)
    assert [p.suffix for p in cache.iterdir()] == [".lock"]


def test_what_a_killed_process_left_is_used(site, cache):
    (address, content), *_ = site.files.items()
    cache.mkdir(parents=True)
    left = cache / f"{SMALL_CONFIG}_{address[-10:-4]}.pkl"
    left.write_bytes(content)
    assert weights(SMALL_CONFIG, accept_license=True) == left.with_suffix(".pth")
    assert not left.exists()
    assert not site.asked


def test_threads_share_one_download(bytes_site):
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(weights(SMALL_CONFIG, accept_license=True)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 3
    assert len(bytes_site.asked) == 1


def fetch_elsewhere(content, environment, barrier):
    os.environ.update(environment)
    with pytest.MonkeyPatch.context() as monkeypatch:
        release(monkeypatch, content)
        monkeypatch.setattr(releases, "convert_release", keep)
        barrier.wait(60)
        weights(SMALL_CONFIG, accept_license=True)


def test_processes_wait_for_each_other(bytes_site, cache):
    site = bytes_site
    site.delay = 1.0
    (content,) = site.files.values()
    environment = {key: os.environ[key] for key in ("TORCH_HOME", releases.MIRROR, "no_proxy")}
    arguments = (content, environment, WARM.Barrier(2))
    others = [WARM.Process(target=fetch_elsewhere, args=arguments) for _ in range(2)]
    for process in others:
        process.start()
    for process in others:
        process.join()
    assert [process.exitcode for process in others] == [0, 0]
    assert len(site.asked) == 1
    assert len(list(cache.glob("*.pth"))) == 1


@pytest.mark.parametrize("name", ["maskformer_r18_camvid", "upernet_r50_ade20k"])
def test_models_without_released_weights_say_what_to_give(cache, name):
    with pytest.raises(ValueError, match=rf"^{name} has no released weights: give a checkpoint"):
        load(name, accept_license=True)


def test_a_config_by_its_path_is_the_model_of_its_name(cache, tmp_path, monkeypatch):
    path = catalogue.FOLDER / "maskformer_r50_ade20k.py"
    assert releases.released_model(path.resolve()).name == "maskformer_r50_ade20k"
    mine = tmp_path / "maskformer_r50_ade20k.py"
    mine.write_text(f"_base_ = {str(path)!r}")
    with pytest.raises(ValueError, match="has no released weights"):
        releases.released_model(mine)


def test_addresses(monkeypatch):
    model = releases.released_model("maskformer_r101c_ade20k")
    folder = "/maskformer/semantic-ade20k/maskformer_R101c_bs16_160k/model_final_b432ea.pkl"
    monkeypatch.delenv(releases.MIRROR, raising=False)
    assert releases.source_of(model) == HOST + folder
    assert releases.digest_in(HOST + folder) == "b432ea"
    assert releases.digest_in("https://host/model_final.pkl") == ""
    monkeypatch.setenv(releases.MIRROR, "http://mirror:8000/all/")
    assert releases.source_of(model) == f"http://mirror:8000/all{folder}"
    for wrong in ("mirror", "file:///data", "https://", "http://my mirror"):
        monkeypatch.setenv(releases.MIRROR, wrong)
        with pytest.raises(ValueError, match="MMMASKFORMER_MIRROR=.* must begin with http"):
            releases.source_of(model)


def test_every_released_model_has_a_sum_of_its_own():
    digests = [releases.digest_in(m.weights) for m in catalogue.models() if m.released]
    assert len(set(digests)) == 30
    assert all(len(digest) == 6 for digest in digests)


def test_a_damaged_cache_is_found(site, cache):
    path = weights(SMALL_CONFIG, accept_license=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{path.name} .*changed.*; delete it, and"):
        load(SMALL_CONFIG)


def test_the_command_downloads_and_prints_the_path(bytes_site, cache, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mmmaskformer", "models", "--download", *arguments])
        return main()

    line = mistake(capsys, run, SMALL_CONFIG, "maskformer_r18_camvid", "--accept-license")
    assert line.startswith("error: maskformer_r18_camvid has no released weights")
    assert mistake(capsys, run, SMALL_CONFIG).endswith("MMMASKFORMER_ACCEPT_LICENSE=1")
    assert not bytes_site.asked
    with pytest.raises(SystemExit) as ended:
        run(SMALL_CONFIG, "--accept-license")
    assert not ended.value.code
    (path,) = cache.glob("*.pth")
    assert capsys.readouterr().out == f"{path}\n"
    (address,) = bytes_site.files
    path.unlink()
    bytes_site.codes = [404]
    line = mistake_after_progress(capsys, run, SMALL_CONFIG, "--accept-license")
    assert line.endswith(f"{address} can not be downloaded: HTTP 404 Not Found")


def mistake_after_progress(capsys, call, *arguments):
    """The last line on stderr of a command that fails after it has said what it does."""
    with pytest.raises(SystemExit) as caught:
        call(*arguments)
    assert caught.value.code == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line
