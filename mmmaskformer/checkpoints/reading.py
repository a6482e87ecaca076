"""The reader of every checkpoint: nothing in a file runs, and its size bounds the work.

`pickles` goes over the stream of a file first, without its tensors' values. Then torch's own
weights-only reader reads it where it can, and torch's other reader with our interpreter of pickles
where it can not: mmengine's histories, numpy's numbers. What mmengine would execute is left out.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from mmap import ACCESS_READ, mmap
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from . import checksum
from .limits import Limits
from .pickles import Settler, Unpickler

ZIP, GZIP = b"PK\x03\x04", b"\x1f\x8b"
OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How the files of torch before 1.6 begin."""
WEIGHTS = re.compile(r"model|optimizer|\w*state_dict")
"""Entries in which nothing may be left out."""
TORCH_READS = re.compile(
    r"collections\.OrderedDict|_codecs\.encode|torch\.(Size|[A-Z][a-z0-9A-Z]*Storage)"
    r"|torch\._utils\._rebuild_(tensor_v2|parameter)|torch\.(float\d+|bfloat16|int\d+|uint8|bool)"
)
"""Names that torch's own weights-only reader knows, whatever its version."""


def load_checkpoint_file(filename: str | os.PathLike, map_location: Any = None) -> Any:
    """The content of a checkpoint of torch, mmengine, Detectron2 or a `.safetensors` file.

    Objects of unknown classes are left out, with a warning, unless they are among the weights.

    Args:
        map_location: as `torch.load` takes it.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: the file is damaged or has changed since it was written, weights in it are of
            unknown classes, or reading it would take far more memory than its size.
    """
    path = os.path.expanduser(filename)
    if not os.path.exists(path):
        raise FileNotFoundError(f"checkpoint {filename} can not be found")
    if not os.path.isfile(path):
        raise RuntimeError(f"checkpoint {filename} can not be read: it is no file")
    try:
        content = _read(path, map_location)
        _refuse_changed(content)
    except pickle.UnpicklingError as error:
        text = _one_line(error)
        if not text.startswith("it asks"):
            raise RuntimeError(f"checkpoint {filename} is refused: {text}") from error
        raise RuntimeError(
            f"checkpoint {filename} is refused: {text}, which is neither a tensor nor plain "
            "data and could run code. If you trust its source, load it with "
            "torch.load(weights_only=False) and save its 'state_dict' alone"
        ) from error
    except EOFError as error:
        raise RuntimeError(
            f"checkpoint {filename} can not be read: it ends too early; it is damaged or incomplete"
        ) from error
    except Exception as error:
        raise RuntimeError(
            f"checkpoint {filename} can not be read ({type(error).__name__}: {_one_line(error)}); "
            "it is damaged, incomplete, or no checkpoint"
        ) from error
    disarm(content, os.path.dirname(os.path.abspath(path)))
    return content


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]}..."


def _read(path: str, map_location: Any) -> Any:
    """The content, by what the file begins with; suffixes are not to be relied on."""
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        raise EOFError
    if path.endswith(".safetensors"):
        return _read_safetensors(path, map_location)
    if start.startswith(GZIP):
        raise pickle.UnpicklingError(f"it is compressed; unpack it first: gunzip {path}")
    if _is_tar(start):
        raise pickle.UnpicklingError(
            "it is a tar archive, as torch wrote before version 0.2; its names can lead to other "
            "files. Load it with the torch of its time and save it again"
        )
    if start.startswith(ZIP):
        return _read_archive(path, map_location, path)
    if start.startswith(OLD_TORCH):
        return _read_old_torch(path, map_location)
    return _read_pickle(path)


def _is_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _read_safetensors(path: str, map_location: Any) -> dict[str, torch.Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise pickle.UnpicklingError("to read it, run: pip install safetensors") from error
    return load_file(path, device=str(map_location or "cpu"))


def _read_pickle(path: str) -> Any:
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as stream:
        # Files from Python 2 hold their bytes as text.
        limits = Limits(len(stream))
        return _settled(Unpickler(stream, limits=limits, encoding="latin1").load(), path)


def _settled(content: Any, path: str) -> Any:
    """The content without what is unknown and not needed."""
    settler = Settler()
    entries = content if isinstance(content, dict) else {}
    names = [name for name in entries if type(name) is str and WEIGHTS.fullmatch(name)]
    for name in names:
        settler.settle(entries[name], required=True)
    arrays = any(isinstance(entry, (torch.Tensor, np.ndarray)) for entry in entries.values())
    settler.settle(content, required=arrays and not names)
    if settler.left_out:
        some = ", ".join(sorted(settler.left_out)[:5])
        warnings.warn(f"{path}: left out, being of unknown classes: {some}", stacklevel=2)
    return content


def _read_archive(path: str, map_location: Any, name: str) -> Any:
    """A file of torch since 1.6.

    Args:
        name: of the file that the user knows.
    """
    limits = Limits(os.path.getsize(path))
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename.lower(): info for info in archive.infolist()}
        if len(infos) != len(archive.infolist()):
            raise pickle.UnpicklingError("it has two records of one name")
        limits.spend(sum(info.file_size for info in infos.values()))
        if any(name.split("/")[-1] == "constants.pkl" for name in infos):
            raise pickle.UnpicklingError("it is a TorchScript archive, which holds code")
        ways = {info.compress_type for info in infos.values()} - {zipfile.ZIP_STORED}
        if ways - {zipfile.ZIP_DEFLATED}:
            raise pickle.UnpicklingError("it is compressed in another way than by deflation")
        if ways:
            return _read_compressed(archive, map_location, name)
    stream = torch._C.PyTorchFileReader(path).get_record("data.pkl")
    root = next(iter(infos)).split("/")[0]
    sizes = {name: info.file_size for name, info in infos.items()}

    def storage(record: tuple) -> Any:
        _, kind, key, _, numel, *_ = record
        return _without_values(kind, numel, sizes.get(f"{root}/data/{key}".lower(), -1))

    limits = Limits(os.path.getsize(path))
    limits.allow_pickle(len(stream))
    reader = Unpickler(io.BytesIO(stream), limits=limits, storage=storage)
    content = _settled(reader.load(), name)
    signed = isinstance(content, Mapping) and checksum.KEY in content
    if signed and zlib.crc32(stream) != infos[f"{root}/data.pkl"].CRC:
        raise pickle.UnpicklingError("its contents have changed since they were written")
    # Values are copied out of a mapping of the file: torch's way to read records does not compare
    # their sizes, and a mapping has an end.
    return _read_by_torch(path, reader, mmap=True, map_location=_to_memory(map_location))


def _read_compressed(archive: zipfile.ZipFile, map_location: Any, name: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint.pth")
        with zipfile.ZipFile(path, "w") as plain:
            for info in archive.infolist():
                with archive.open(info) as source, plain.open(info.filename, "w") as target:
                    shutil.copyfileobj(source, target)
        return _read_archive(path, map_location, name)


def _without_values(kind: Any, numel: int, available: int) -> Any:
    """A storage that takes no memory."""
    dtype = torch.uint8 if kind is torch.UntypedStorage else kind.dtype
    count = numel * dtype.itemsize
    if count > available:
        raise pickle.UnpicklingError("it is damaged: a storage is larger than what is there of it")
    storage = torch.UntypedStorage(count, device="meta")
    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _to_memory(map_location: Any) -> Callable[[Any, str], Any]:
    """`map_location` for a mapping of a file, whose values are copied from it."""

    def restore(storage: Any, location: str) -> Any:
        placed, where = None, location
        if isinstance(map_location, Mapping):
            where = map_location.get(location, location)
        elif callable(map_location):
            placed = map_location(storage, location)
        elif map_location is not None:
            where = str(map_location)
        if placed is None:
            placed = torch.serialization.default_restore_location(storage, where)
        return placed.clone() if placed.device.type == "cpu" else placed

    return restore


def _read_old_torch(path: str, map_location: Any) -> Any:
    """A file of torch before 1.6: pickles, and the values behind them."""
    found: dict[str, int] = {}
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as stream:
        limits = Limits(len(stream))

        def storage(record: tuple) -> Any:
            _, kind, key, _, numel, *_ = record
            made = _without_values(kind, numel, len(stream))
            if found.setdefault(key, numel) != numel:
                raise pickle.UnpicklingError("it is damaged: a storage has two sizes")
            sizes[key] = made._untyped_storage.nbytes()
            return made

        sizes: dict[str, int] = {}
        for _ in range(3):  # a magic number, a version, the machine
            Unpickler(stream, limits=limits).load()
        reader = Unpickler(stream, limits=limits, storage=storage)
        _settled(reader.load(), path)
        keys = Unpickler(stream, limits=limits).load()
        if type(keys) is not list or any(type(key) is not str for key in keys):
            raise pickle.UnpicklingError("it is damaged: its list of storages is none")
        place = stream.tell()
        for key in keys:
            if int.from_bytes(stream[place : place + 8], "little") != found.get(key):
                raise pickle.UnpicklingError("it is damaged: a storage has two sizes")
            place += 8 + sizes[key]
        if place > len(stream) or set(keys) != set(found):
            raise pickle.UnpicklingError("it is incomplete: values of storages are missing")
    return _read_by_torch(path, reader, map_location=map_location)


def _read_by_torch(path: str, reader: Unpickler, **kwargs: Any) -> Any:
    """Read once more, with the values, what `reader` went over."""
    if reader.proto == 2 and all(TORCH_READS.fullmatch(name) for name in reader.names):
        try:
            return torch.load(path, weights_only=True, **kwargs)
        except pickle.UnpicklingError:
            pass  # an opcode that this version's reader does not know

    class Again(Unpickler):
        def __init__(self, file: Any, **options: Any) -> None:
            super().__init__(file, limits=Limits(os.path.getsize(path)), **options)

    interpreter = SimpleNamespace(
        __name__="mmmaskformer_pickle",
        Unpickler=Again,
        load=lambda file, **options: Again(file, **options).load(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out was said
        return _settled(
            torch.load(path, pickle_module=interpreter, weights_only=False, **kwargs), path
        )


def _refuse_changed(content: Any) -> None:
    names = checksum.changed(content) if isinstance(content, Mapping) else []
    if names:
        raise pickle.UnpicklingError(
            f"its contents have changed since they were written ({', '.join(names)}): the "
            f"checksums differ. If you changed them, delete the entry {checksum.KEY!r}"
        )


def disarm(content: Any, folder: str) -> None:
    """Take out of a checkpoint what mmengine would execute or use as a name of files to delete.

    Configs are Python text; mmengine's runners and inferencers execute them. When a better
    checkpoint is written, its CheckpointHook deletes the file that the old one names as the best:
    such names are kept for files beside the checkpoint alone.

    Args:
        folder: in which the checkpoint lies.
    """
    info = _dict(_dict(content, "message_hub"), "runtime_info")
    for part in (_dict(content, "meta"), info):
        for name in ("config", "cfg"):
            part.pop(name, None)
    steps = info.get("keep_ckpt_ids", [])
    if type(steps) is not list or any(type(step) is not int for step in steps):
        del info["keep_ckpt_ids"]
    for name in [name for name in info if str(name).startswith("best_ckpt")]:
        beside = os.path.join(folder, os.path.basename(str(info[name])))
        info[name] = beside
        if not re.search(r"[\\/]best_[^\\/]*\.pth$", beside) or not os.path.isfile(beside):
            del info[name]


def _dict(content: Any, name: str) -> dict:
    """An entry that is a dict, or an empty one."""
    entry = content.get(name) if isinstance(content, dict) else None
    return entry if isinstance(entry, dict) else {}
