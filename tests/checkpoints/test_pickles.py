"""The interpreter of pickles: what it builds, and the doors that it keeps shut."""

import collections
import io
import pickle

import numpy as np
import pytest
import torch

from mmmaskformer.checkpoints import pickles
from mmmaskformer.checkpoints.limits import Limits


def interpret(opcodes):
    limits = Limits(len(opcodes))
    return pickles.Unpickler(io.BytesIO(opcodes), limits=limits, encoding="latin1").load()


def settle(content, required=True):
    settler = pickles.Settler()
    settler.settle(content, required)
    return settler.left_out


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        # Records of module sources make torch write patch files.
        (b"(X\x06\x00\x00\x00moduleNNNtQ.", "persistent record"),
        (b"Pmodule\n.", "persistent record"),
        (b"\x82\x01.", "persistent record"),  # extensions of this process
        (b"\x97.", "persistent record"),  # buffers outside of the stream
        (b"]N\x85R.", "a list to be called"),
        (b"]Nb.", "to change a list"),
        (b"K\x01NNs.", "to change a int"),
        (b"K\x01Na.", "to change a int"),
        (b"K\x01K\x02\x93.", "requires str"),
        (b"}](K\x01eNs.", "a key in it is a container"),
        (b"h\x05.", "refers to what is not there"),
        (b"\xff", "it has a byte 255"),
    ],
)
def test_doors_beside_imports_are_shut(opcodes, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        interpret(b"\x80\x04" + opcodes)


NAMES = [
    (b"cbuiltins\neval\n", "builtins.eval"),
    # Classes of torch that the stream would call with anything, or change.
    (b"ctorch.storage\nUntypedStorage\n", "torch.storage.UntypedStorage"),
    (b"ctorch\nGenerator\n", "torch.Generator"),
    (b"ccollections\nOrderedDict.__init__\n", "collections.OrderedDict.__init__"),
]


WAYS = {
    "name": b"%s.",
    "reduce": b"%s(X\x01\x00\x00\x00atR.",
    "new": b"%s)\x81.",
    "new with options": b"%s)}X\x09\x00\x00\x00allocatorJAAAAs\x92.",
    "object": b"(%so.",
    "state": b"%s}X\x05\x00\x00\x00numpyNsb.",
    "items": b"%s)R(X\x01\x00\x00\x00aNu(K\x01e.",
}


@pytest.mark.parametrize(("name", "shown"), NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_unknown_names_are_tokens_whatever_is_done_with_them(name, shown, way):
    token = interpret(b"\x80\x04" + WAYS[way] % name)
    with pytest.raises(pickle.UnpicklingError, match=f"it asks for '?{shown}"):
        settle({"w": token})
    content = {"a": token, "b": [token, 1], "c": (1, (token,)), "d": 2}
    assert settle(content, required=False) == {token.name}
    assert content == {"b": [None, 1], "d": 2}


NDARRAY = b"cnumpy\nndarray\n"


MAKE = b"cnumpy._core.multiarray\n_reconstruct\n(" + NDARRAY + b"(K\x00tC\x01btR"


DTYPE = b"cnumpy\ndtype\n(X\x02\x00\x00\x00%stR"


HISTORY = b"cmmengine.logging.history_buffer\nHistoryBuffer\n"


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        # With object arrays, or arrays over other arrays' memory, numpy's constructors write
        # anywhere.
        (NDARRAY + b"(K\x01K\x01tR.", "asks for 'numpy.ndarray'"),
        (DTYPE % b"O8" + b".", "arrays of type 'O8'"),
        (DTYPE % b"V8" + b".", "arrays of type 'V8'"),
        (MAKE + b".", "asks for an array"),
        (MAKE + b"Nb.", "an array with arguments that do not belong to it"),
        (MAKE + b"(K\x01(K\x02t" + DTYPE % b"u1" + b"\x89C\x01atb.", "not of simple numbers"),
        (MAKE + b"(K\x01(J\xff\xff\xff\xfft" + DTYPE % b"u1" + b"\x89C\x00tb.", "simple numbers"),
        (
            b"cnumpy._core.numeric\n_frombuffer\n(]"
            + DTYPE % b"u1"
            + b"(K\x00tX\x01\x00\x00\x00CtR.",
            "simple numbers",
        ),
        (DTYPE % b"u1" + b"Nb.", "'numpy.dtype' with arguments"),
        (b"cbuiltins\nbytes\n(J\x00\x00\x00\x10tR.", "'builtins.bytes' with arguments"),
        (b"cbuiltins\nbytes\n(](M\x00\x01etR.", "'builtins.bytes' with arguments"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.", "'_codecs.encode' with"),
        (b"cbuiltins\nset\n(K\x05tR.", "'builtins.set' with"),
        (b"cbuiltins\ncomplex\n(K\x05tR.", "'builtins.complex' with"),
        (b"ccollections\nOrderedDict\n(](K\x01etR.", "'collections.OrderedDict' with"),
        (b"ccollections\nCounter\n(K\x01tR.", "a kind of dict with"),
        (b"ccollections\ndeque\n(K\x01tR.", "'collections.deque' with"),
        (b"ctorch\nSize\n(K\x01tR.", "'torch.Size' with"),
        (b"ctorch\ndevice\n(X\x02\x00\x00\x00a:tR.", "'torch.device' with"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))\x89NtR.", "a tensor with arguments"),
        (b"ctorch._utils\n_rebuild_parameter\n(N\x88NtR.", "a parameter with arguments"),
        (HISTORY + b")\x81.", "a HistoryBuffer"),
        (b"ccollections\nOrderedDict\n)}X\x01\x00\x00\x00aK\x01s\x92.", "OrderedDict with options"),
        (HISTORY + b"(K\x01t\x81.", "HistoryBuffer' with arguments"),
        (HISTORY + b")\x81}b.", "a HistoryBuffer with arguments"),
    ],
)
def test_every_argument_of_a_call_is_checked(opcodes, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        settle({"w": interpret(b"\x80\x04" + opcodes)})


def test_arrays_come_back_as_they_were():
    arrays = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "b": np.arange(3, dtype=">i2"),
        "empty": np.zeros((2, 0), np.float16),
        "flag": np.array([True, False]),
        "scalar": np.float64(0.1),
        "point": np.array(3),
    }
    arrays["again"] = arrays["f"]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        loaded = interpret(pickle.dumps(arrays, protocol))
        settle(loaded)
        assert loaded["again"] is loaded["f"]
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array)
            assert np.asarray(loaded[name]).dtype == np.asarray(array).dtype


def test_plain_values_come_back_as_they_were():
    plain = {
        "text": "\u00e4\ud800",
        "numbers": [1, -(2**70), 0.5, True, None, 2j],
        3: (1, (2, ())),
        (1, "a"): {1, 2},
        "frozen": frozenset("ab"),
        "bytes": [b"\xff" * 300, bytearray(b"a")],
        "ordered": collections.OrderedDict(b=1, a=2),
        "deque": collections.deque([1, 2], 5),
        "size": [torch.Size([2, 3]), torch.device("cuda", 1), torch.bfloat16],
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        loaded = interpret(pickle.dumps(plain, protocol))
        assert settle(loaded) == set()
        assert loaded == plain
        assert [type(v) for v in loaded.values()] == [type(v) for v in plain.values()]
        assert loaded["deque"].maxlen == 5
    kinds = {"count": collections.Counter("aab"), "default": collections.defaultdict(list, a=[1])}
    assert interpret(pickle.dumps(kinds)) == {"count": {"a": 2, "b": 1}, "default": {"a": [1]}}


def nest(levels, kind):
    content = kind()
    for _ in range(levels):
        content = {"a": content} if kind is dict else kind([content])
    return content


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_nesting_has_an_end(kind):
    settle(nest(90, kind))
    for levels in (110, 200_000):
        with pytest.raises(pickle.UnpicklingError, match="nested too deeply"):
            settle(nest(levels, kind))


def test_deep_parts_met_first_at_a_shallow_place_are_found():
    inner = nest(60, tuple)
    outer = inner
    for _ in range(60):
        outer = [outer]
    with pytest.raises(pickle.UnpicklingError, match="nested too deeply"):
        settle([inner, outer])


def test_containers_in_themselves_and_exponential_ones_are_refused():
    loop = []
    loop.append([loop])
    shared = ("x",)
    for _ in range(60):
        shared = (shared, shared)
    for content in (loop, {"a": loop}, shared):
        with pytest.raises(pickle.UnpicklingError, match="contain themselves or are nested"):
            settle(content)
