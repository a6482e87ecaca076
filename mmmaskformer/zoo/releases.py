"""The weights that the paper's authors released: downloaded once, converted, kept in a cache."""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import torch

from ..checkpoints.conversion import check_fits, convert_checked, read_weights, write_checkpoint
from ..checkpoints.naming import CheckpointError
from ..engine.runner import read_config
from ..heads.names import names_in
from ..utils.locks import held
from .catalogue import Model, config_file, models
from .download import download

ACCEPT = "MMMASKFORMER_ACCEPT_LICENSE"
"""Environment variable that, as `accept_license` does, agrees to the licence of the weights."""
OFFLINE = "MMMASKFORMER_OFFLINE"
"""Environment variable that, as `offline` does, forbids downloads."""
MIRROR = "MMMASKFORMER_MIRROR"
"""Environment variable with an address that has the files of `https://dl.fbaipublicfiles.com`."""
LICENCE = (
    "the weights that the paper's authors released are licensed CC BY-NC 4.0, not for commercial "
    "use (https://creativecommons.org/licenses/by-nc/4.0/)"
)
_THREADS = threading.Lock()
"""A lock of files keeps other processes out, and not other threads."""


def weights(
    name_or_config: str | Path, *, accept_license: bool = False, offline: bool = False
) -> Path:
    """The checkpoint of a released model, converted; downloaded when it is asked for first.

    It is kept in `torch.hub.get_dir()/checkpoints/mmmaskformer`. Processes that ask for one model
    at once wait for the first of them.

    Args:
        accept_license: agree to the licence of the weights; so does MMMASKFORMER_ACCEPT_LICENSE=1.
        offline: download nothing; so does MMMASKFORMER_OFFLINE=1.

    Raises:
        FileNotFoundError: no such model, or it is not in the cache and nothing may be downloaded.
        ValueError: no weights were released for it, or nobody agreed to their licence.
        DownloadError: they can not be downloaded.
    """
    model = released_model(name_or_config)
    address = source_of(model)
    digest = digest_in(address)
    folder = cache_folder()
    target = folder / f"{model.name}{digest and '_'}{digest}.pth"
    if target.is_file():
        return target
    if offline or is_set(OFFLINE):
        raise FileNotFoundError(
            f"the weights of {model.name} are not in {folder}, and offline=True or {OFFLINE}=1 "
            "forbids to download them"
        )
    check_licence(model, accept_license)
    with _THREADS, held(folder, f".{target.stem}.lock"):
        if not target.is_file():
            release = target.with_suffix(Path(urlsplit(address).path).suffix)
            if not release.is_file():
                download(address, release, digest, model.name)
            convert_release(model, release, target)
    return target


def released_model(name_or_config: str | Path) -> Model:
    """The released model of a name or a config of the package.

    Raises:
        FileNotFoundError: no such model or config.
        ValueError: the authors released no weights for it.
    """
    config = config_file(name_or_config).resolve()
    model = next((model for model in models() if model.config.resolve() == config), None)
    if model is None or not model.released:
        raise ValueError(
            f"{name_or_config} has no released weights: give a checkpoint, which you trained or "
            "converted (--checkpoint FILE); `mmmaskformer models --released` lists the models that "
            "need none"
        )
    return model


def check_licence(model: Model, accepted: bool) -> None:
    """Print the licence of a model's weights; ValueError unless it was agreed to."""
    if not (accepted or is_set(ACCEPT)):
        raise ValueError(
            f"{model.name}: {LICENCE}; if you agree, say so with --accept-license, "
            f"accept_license=True or {ACCEPT}=1"
        )
    print(f"{model.name}: {LICENCE}; you agreed", file=sys.stderr)


def source_of(model: Model) -> str:
    """The address that the weights of a released model are downloaded from."""
    address = str(model.weights)
    mirror = os.environ.get(MIRROR, "")
    if not mirror:
        return address
    if not re.fullmatch(r"https?://[^/\s]\S*", mirror):
        raise ValueError(f"{MIRROR}={mirror!r} must begin with http:// or https:// and a host")
    return mirror.rstrip("/") + urlsplit(address).path


def digest_in(address: str) -> str:
    """What the MD5 of a released file begins with, as its name says; empty if it does not."""
    found = re.search(r"_([0-9a-f]{6,32})\.\w+$", urlsplit(address).path)
    return found[1] if found else ""


def cache_folder() -> Path:
    """Where converted weights are kept, beside other downloads of torch.hub."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "mmmaskformer"


def convert_release(model: Model, release: Path, target: Path) -> None:
    """Convert a downloaded file, which is deleted then, with the classes of the model's dataset."""
    print(f"converting {model.name}", file=sys.stderr)
    cfg = read_config(str(model.config))
    try:
        contents, _ = read_weights(release)
        report = convert_checked(contents)
        check_fits(report, cfg.model, str(model.weights), model.name)
    except CheckpointError as error:
        release.unlink()
        raise CheckpointError(f"{error}; {release} was deleted") from error
    meta = dict(
        source=report.conversion.source.name,
        description=report.description,
        dataset_meta=names_in(cfg, cfg.model.decode_head.num_classes),
        licence=model.licence,
        weights=model.weights,
    )
    write_checkpoint(report.conversion.state_dict, target, meta)
    release.unlink()


def is_set(variable: str) -> bool:
    """Whether an environment variable says yes."""
    return os.environ.get(variable, "") not in ("", "0")
