"""What the stock OpenMMLab packages need on today's torch, done at the moment they are imported.

* mmcv: mmdet and mmseg import mmcv's compiled ops everywhere. Where only mmcv-lite is installed, a
  placeholder lets them import; calling an op raises an error that names it.
* mmengine's checkpoints: torch >= 2.6 refuses mmengine's own. All are read by
  `checkpoints.reading`, which runs no code.
* mmseg's and mmdet's functions for single images: they know steps of a pipeline by literal names.
* mmengine's configs of other packages, `mmmaskformer::maskformer_r50_ade20k.py`: it has a table of
  the packages, and wants a folder in the name.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import shutil
import sys
import tempfile
import types


def provide_mmcv_ext(mmcv: types.ModuleType) -> None:
    """Put a placeholder under `mmcv._ext` where mmcv has no compiled ops."""
    if "mmcv._ext" in sys.modules or importlib.util.find_spec("mmcv._ext") is not None:
        return
    placeholder = types.ModuleType("mmcv._ext", "Placeholder for mmcv's compiled ops.")
    placeholder.__getattr__ = _missing_op
    # A spec without a loader: mmengine's mmcv_full_available() then says no.
    placeholder.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)
    sys.modules["mmcv._ext"] = placeholder


def _missing_op(name: str):
    if name.startswith("__"):
        raise AttributeError(name)

    def op(*args, **kwargs):
        raise RuntimeError(
            f"the compiled op mmcv.ops '{name}' is not available: mmcv-lite is installed. "
            "Install the full package instead of it: pip uninstall -y mmcv-lite && pip install "
            "'mmcv>=2.0.0,<2.2' (see https://mmcv.readthedocs.io for prebuilt wheels)"
        )

    return op


def read_checkpoints_safely(checkpoint: types.ModuleType) -> None:
    """Make mmengine read local and downloaded checkpoints without running code.

    Args:
        checkpoint: the module `mmengine.runner.checkpoint`.
    """

    def load_from_local(filename, map_location=None):
        from .checkpoints.reading import load_checkpoint_file

        return load_checkpoint_file(filename, map_location)

    def load_from_http(filename, map_location=None, model_dir=None, progress=True):
        import torch
        from mmengine.dist import barrier, get_local_rank

        folder = model_dir or os.path.join(torch.hub.get_dir(), "checkpoints")
        path = os.path.join(folder, os.path.basename(filename.split("?")[0]))
        if get_local_rank() == 0 and not os.path.isfile(path):  # once per machine
            os.makedirs(folder, exist_ok=True)
            try:
                torch.hub.download_url_to_file(filename, path, progress=progress)
            except OSError as error:
                raise OSError(f"{filename} can not be downloaded: {error}") from error
        barrier()
        return load_from_local(path, map_location)

    def load_from_pip(filename, map_location=None):
        from .backbones.pip_weights import load_from_pip

        return load_from_pip(filename, map_location)

    loaders = {
        "": load_from_local,
        ("http://", "https://"): load_from_http,
        "pip://": load_from_pip,
    }
    for prefixes, loader in loaders.items():
        checkpoint.CheckpointLoader.register_scheme(prefixes, loader, force=True)
    find = checkpoint.find_latest_checkpoint

    def find_latest_checkpoint(path):
        found = find(path)
        # Work folders may be copied, so what is written in them is relative to them.
        relative = found is not None and not os.path.isabs(found) and "://" not in found
        return os.path.join(path, found) if relative else found

    find_latest_checkpoint.is_mended = True
    if not hasattr(find, "is_mended"):
        checkpoint.find_latest_checkpoint = find_latest_checkpoint
    # mmengine's other schemes ("open-mmlab://", "s3://") call these by name.
    checkpoint.load_from_http = load_from_http
    if not isinstance(checkpoint.torch, _TorchWithSafeLoad):
        checkpoint.torch = _TorchWithSafeLoad(checkpoint.torch)


class _TorchWithSafeLoad:
    """torch, but for `load`; in the eyes of one module."""

    def __init__(self, torch: types.ModuleType) -> None:
        self._torch = torch

    def __getattr__(self, name):
        return getattr(self._torch, name)

    def load(self, file, map_location=None):
        from .checkpoints.reading import load_checkpoint_file

        if isinstance(file, (str, os.PathLike)):
            return load_checkpoint_file(file, map_location)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "checkpoint.pth")
            with open(path, "wb") as copy:
                shutil.copyfileobj(file, copy)
            return load_checkpoint_file(path, map_location)


def mend_inferencers(module: types.ModuleType) -> None:
    """Let the inferencers of mmseg and mmdet, and `inference_model`, load as our configs say."""
    from .datasets import inferencers

    for name in ("MMSegInferencer", "DetInferencer"):
        if hasattr(module, name):
            inferencers.mend_inferencer(getattr(module, name))
    if hasattr(module, "_preprare_data"):
        inferencers.mend_inference_model(module)


def find_our_configs(module: types.ModuleType) -> None:
    """Let mmengine find `mmmaskformer::NAME.py` in `_base_`, `Config.fromfile` and `get_config`.

    A base file of another package gets that package as the scope of its types. Ours name types of
    mmseg without their scope, as files beside them would, so they get none.

    Args:
        module: `mmengine.config.config`, or `mmengine.hub.hub` and what exports it.
    """
    if module.__name__ == "mmengine.config.config":
        _for_ours(module.Config, "_get_cfg_path", lambda path, filename: (path, None))
        _for_ours(module.Config, "fromfile", module.Config.fromfile)
    else:
        _for_ours(module, "get_config", _get_config)


def _for_ours(owner, name: str, call) -> None:
    """Let a function of `owner` whose first argument is one of our configs be `call`, which gets
    the config's file."""
    plain = getattr(owner, name)

    @functools.wraps(plain)
    def function(*args, **kwargs):
        from .zoo.catalogue import PREFIX, config_file

        if not args or not str(args[0]).startswith(PREFIX):
            return plain(*args, **kwargs)
        return call(str(config_file(args[0])), *args[1:], **kwargs)

    if not hasattr(plain, "__wrapped__"):
        setattr(owner, name, staticmethod(function) if isinstance(owner, type) else function)


def _get_config(path: str, pretrained: bool = False):
    from mmengine.config import Config

    cfg = Config.fromfile(path)
    if pretrained:
        from .zoo.releases import weights

        cfg.model_path = str(weights(path))
    return cfg


AFTER_IMPORT = {
    "mmcv": provide_mmcv_ext,
    "mmengine.config.config": find_our_configs,
    "mmengine.hub.hub": find_our_configs,
    "mmengine.hub": find_our_configs,
    "mmengine.runner.checkpoint": read_checkpoints_safely,
    "mmseg.apis.inference": mend_inferencers,
    "mmseg.apis.mmseg_inferencer": mend_inferencers,
    "mmdet.apis.det_inferencer": mend_inferencers,
}
"""Module name -> what is done with the module right after its first import."""


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of `AFTER_IMPORT` where the other finders do."""

    def find_spec(self, name, path=None, target=None):
        if name not in AFTER_IMPORT:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, _Finder))
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Another loader, and the action of `AFTER_IMPORT` behind it."""

    def __init__(self, loader) -> None:
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        AFTER_IMPORT[module.__name__](module)


def mend_when_imported() -> None:
    """Mend what is imported already, and the rest when it will be; idempotent."""
    for name, action in AFTER_IMPORT.items():
        if sys.modules.get(name) is not None:
            action(sys.modules[name])
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
