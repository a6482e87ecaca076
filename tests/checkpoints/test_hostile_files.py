"""Files made to run code, crash or exhaust the reader, and thousands of damaged ones."""

import io
import json
import os
import pathlib
import pickle
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmmaskformer.checkpoints import checksum
from mmmaskformer.checkpoints.reading import load_checkpoint_file
from tests.conftest import ROOT


def refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(RuntimeError) as caught:
        load_checkpoint_file(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))


def shared_tuples(count=60):
    """A tuple whose parts are shared: 2 ** count texts, should anybody write it down."""
    made = b"X\x01\x00\x00\x00xq\x00"
    return made + b"".join(b"0h%ch%c\x86q%c" % (i, i, i + 1) for i in range(count))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x05\x96" + struct.pack("<Q", 20 << 30) + b".", "ends too early"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 20 << 30) + b".", "ends too early"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b".", "ends too early"),
        (b"\x80\x04\x95" + struct.pack("<Q", 20 << 30) + b".", "can not be read"),
        (b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b".", "ends too early"),
        (b"I" + b"9" * 100_000 + b"\n.", "can not be read"),
        (b"\x80\x04}" + shared_tuples() + b"Ns.", "a key in it is a container"),
        (b"\x80\x04" + shared_tuples() + b"Nb.", "asks to change a tuple"),
        (b"\x80\x04" + shared_tuples() + b")R.", "a tuple to be called"),
        (b"\x80\x04" + shared_tuples() + b".", "contain themselves or are nested"),
        (b"\x80\x04cnumpy\ndtype\n" + shared_tuples() + b"\x85R.", "'numpy.dtype'"),
        (b"\x80\x04})" + b"\x85" * 200_000 + b"Ns.", "a key in it is a container"),
        (b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".", "nested too deeply"),
        (b"\x80\x04}q\x00X\x01\x00\x00\x00ah\x00s.", "contain themselves"),
        (b"ccollections\ndeque\n(cbuiltins\nrange\n(J\xff\xff\xff\x7ftRtR.", "'collections.deque'"),
    ],
)
def test_pickles_that_would_take_for_ever(content, message, tmp_path):
    refused(tmp_path / "a.pkl", content, message)


def test_names_in_messages_are_short_and_printable(tmp_path):
    name = "\x1b[31m" + "y" * 5000
    refused(tmp_path / "a.pkl", b"\x80\x02cos\n" + name.encode() + b"\n.", "'os.?[31myyy")


def archive(path, data, records=(), compression=zipfile.ZIP_STORED, names=("byteorder",)):
    with zipfile.ZipFile(path, "w", compression) as made:
        made.writestr("a/data.pkl", data)
        for name in names:
            made.writestr(f"a/{name}", b"little")
        for name, content in dict(records).items():
            made.writestr(f"a/data/{name}", content)
        made.writestr("a/version", b"3\n")
    return path.read_bytes()


def whole(number):
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)


def tensor(key="0", numel=16, size=(16,), stride=(1,), offset=0):
    sizes, strides = (b"(" + b"".join(map(whole, part)) + b"t" for part in (size, stride))
    record = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX%cZ\x00\x00%s".replace(b"Z", b"\x00")
        % (len(key), key.encode())
        + b"X\x03\x00\x00\x00cpu"
        + whole(numel)
        + b"tQ"
    )
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + record + whole(offset) + sizes + strides
    return b"\x80\x02}X\x01\x00\x00\x00w" + made + hooks + b"tRs."


BEYOND = "beyond its storage"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(numel=1 << 20), "a storage is larger than what is there"),
        (dict(numel=-16), "no storage"),
        (dict(key="../../etc/passwd"), "a storage is larger than what is there"),
        (dict(size=(1 << 30,)), BEYOND),
        (dict(stride=(2,)), BEYOND),
        (dict(offset=1), BEYOND),
        (dict(offset=1 << 61), BEYOND),
        (dict(size=(4, 4), stride=(5, 1)), BEYOND),
        (dict(stride=(-1,)), "a tensor with arguments"),
        (dict(offset=-8, size=(4,)), "a tensor with arguments"),
        (dict(size=(2, 2)), "a tensor with arguments"),
        (dict(size=(1 << 20, 1 << 20), stride=(0, 0)), "far more memory than its size"),
    ],
)
def test_tensors_lie_inside_of_their_storages(wrong, message, tmp_path):
    archive(tmp_path / "a.pth", tensor(), {"0": bytes(64)})
    assert torch.equal(load_checkpoint_file(tmp_path / "a.pth")["w"], torch.zeros(16))
    data = archive(tmp_path / "b.pth", tensor(**wrong), {"0": bytes(64)})
    refused(tmp_path / "a.pth", data, message)


def test_sizes_in_old_files_agree(tmp_path):
    """The pickle and the values behind it say how long a storage is."""
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(77)}, path, _use_new_zipfile_serialization=False)
    good, size = path.read_bytes(), struct.pack("<q", 77)
    assert good.count(size) == 1
    for wrong in (76, 78, 1 << 40, -1):
        changed = good.replace(size, struct.pack("<q", wrong))
        refused(path, changed, "is refused: it is damaged: a storage has two sizes")
    refused(path, good[:-8], "it is incomplete: values of storages are missing")


def test_archives_that_are_more_than_they_seem(tmp_path):
    path, data = tmp_path / "a.pth", tensor(numel=1 << 26, size=(1 << 26,))
    bomb = archive(path, data, {"0": bytes(1 << 28)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    refused(path, bomb, "would take far more memory than its size")
    plain = pickle.dumps({}, 2)
    for name in ("constants.pkl", "b/constants.pkl"):
        refused(path, archive(path, plain, names=[name]), "TorchScript archive, which holds code")
    refused(path, archive(path, plain, (), zipfile.ZIP_LZMA), "in another way than by deflation")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(path, archive(path, plain, names=["x", "X"]), "two records of one name")


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.SYMTYPE, tarfile.REGTYPE])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_tar_archives_are_not_unpacked(kind, form, tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:", format=form) as made:
        for name in ("storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/dev/zero"
            made.addfile(member)
    refused(tmp_path / "a.pth", stream.getvalue(), "it is a tar archive, as torch wrote before")


def safetensors(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_hostile_safetensors(tmp_path):
    def entry(shape, end=4):
        return {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}

    path = tmp_path / "a.safetensors"
    for content in (
        safetensors({"a": entry([1 << 40, 1 << 40])}, bytes(4)),
        safetensors({"a": entry([-1])}, bytes(4)),
        safetensors({"a": entry([1]), "b": entry([1])}, bytes(4)),
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 300_000) + b'{"a":' * 60_000,
        b"\x01",
    ):
        refused(path, content, "can not be read")
    path.write_bytes(safetensors({"a": entry([1])}, struct.pack("<f", 2)))
    assert load_checkpoint_file(path)["a"].tolist() == [2]


def good_files(folder):
    """A small file of each format."""
    weights = {f"l{i}.{kind}": torch.randn(3, 4) for i in range(3) for kind in ("weight", "bias")}
    ours = {
        "meta": {"iter": 3, "dataset_meta": {"classes": ("a", "b"), "palette": [[0, 1, 2]]}},
        "state_dict": weights,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3}]},
    }
    ours[checksum.KEY] = checksum.stamp(ours)
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    hub = {"log_scalars": {"loss": history}, "runtime_info": {"cfg": "x=1", "seed": np.int64(3)}}
    arrays = {name: weight.numpy() for name, weight in weights.items()}
    torch.save(ours, folder / "ours.pth")
    mixed = {**ours, "message_hub": hub}
    del mixed[checksum.KEY]
    torch.save(mixed, folder / "mmengine.pth")
    torch.save(ours, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(mixed, folder / "legacy_mmengine.pth", _use_new_zipfile_serialization=False)
    (folder / "detectron2.pkl").write_bytes(pickle.dumps({"model": arrays, "by": "me"}, 2))
    (folder / "new.pkl").write_bytes(pickle.dumps({"model": arrays}, 5))
    header, body = {}, b""
    for name, array in arrays.items():
        end = len(body) + array.nbytes
        header[name] = {"dtype": "F32", "shape": [3, 4], "data_offsets": [len(body), end]}
        body += array.tobytes()
    (folder / "a.safetensors").write_bytes(safetensors(header, body))
    return sorted(folder.iterdir())


INTERESTING = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    *b"RbQoi\x81\x92\x93(t.}]hjqrecus\x85\x86\x87\x8a\x8b\x95\x96",
]


def mutate(data, rng):
    """One to four changes of a kind that damage, chance or malice makes."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(data)), rng.choice([1, 2, 4, 8, 64])
        part = data[rng.randrange(len(data)) :][:length]
        way = rng.randrange(8)
        if way == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif way == 1:
            data[place] = rng.choice(INTERESTING)
        elif way == 2:
            data[place : place + length] = rng.randbytes(length)
        elif way == 3:
            del data[place : place + length]
        elif way == 4:
            data[place:place] = part
        elif way == 5:
            data[place : place + len(part)] = part
        elif way == 6:
            data[place : place + 4] = struct.pack("<i", rng.choice([-1, 1 << 30, -(1 << 31), 0]))
        elif rng.random() < 0.2:
            del data[max(place, 1) :]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def repacked(data, rng):
    """An archive with a changed stream of pickles in it, and with right checksums."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(made, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, mutate(content, rng) if "data.pkl" in name else content)
    return made.getvalue()


def fuzz(folder, seed, count):
    """Read changed files; how many were read and how many refused."""
    rng = random.Random(seed)
    torch.manual_seed(0)
    (folder / "good").mkdir()
    (folder / "work").mkdir()
    files = [(path, path.read_bytes()) for path in good_files(folder / "good")]
    os.chdir(folder / "work")
    outcome = {"read": 0, "refused": 0}
    for index in range(count):
        good, data = files[index % len(files)]
        inside = good.name in ("ours.pth", "mmengine.pth") and rng.random() < 0.7
        changed = repacked(data, rng) if inside else mutate(data, rng)
        path = folder / "work" / f"mutated{good.suffix}"
        path.write_bytes(changed)
        signal.alarm(2)  # no handler: a slow file ends the process
        message = ""
        try:
            pickle.dumps(load_checkpoint_file(path))  # what mmengine does with parts of it
        except RuntimeError as error:
            message = str(error)
        signal.alarm(0)
        outcome["refused" if message else "read"] += 1
        assert not message or (str(path) in message and "\n" not in message), message
        assert os.listdir(".") == [path.name], (index, os.listdir("."))
        path.unlink()
    return outcome


def fuzz_apart(folder, seed, count):
    """`fuzz` in a process with room for 1 GB more than it starts with."""
    code = (
        "import sys, warnings; warnings.simplefilter('ignore');"
        "from tests.checkpoints import test_hostile_files as t; t.main(*sys.argv[1:])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(folder), str(seed), str(count)]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert result.returncode == 0, (result.returncode, result.stderr[-2000:])
    return json.loads(result.stdout.splitlines()[-1])


def main(folder, seed, count):
    torch.set_num_threads(1)
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    outcome = fuzz(pathlib.Path(folder), int(seed), int(count))
    # Not getrusage's peak, which a process inherits from the one that started it.
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) >> 10
    print(json.dumps({**outcome, "MB": peak}))


def test_damaged_files_are_read_or_refused(tmp_path):
    outcome = fuzz_apart(tmp_path, seed=0, count=420)
    assert outcome["read"] + outcome["refused"] == 420
    assert outcome["refused"] > 200
    assert outcome["MB"] < 1024


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_twenty_thousand_damaged_files_are_read_or_refused(seed, tmp_path):
    outcome = fuzz_apart(tmp_path, seed, count=2000)
    assert outcome["read"] + outcome["refused"] == 2000
    assert outcome["MB"] < 1024
