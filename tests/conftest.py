import copy
import functools
import multiprocessing
import os
import pickle
import runpy
import signal
import sys
from pathlib import Path

import pytest
import torch

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a job that a script has started
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    torch.set_num_threads(1)

WARM = multiprocessing.get_context("forkserver")
"""Starts processes by forking one that has imported the stack, which takes seconds."""
WARM.set_forkserver_preload(["mmmaskformer", "mmseg.apis", "mmdet.apis", "matplotlib.figure"])


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    for item in items:
        if "shared" in item.fixturenames:
            item.add_marker("data")
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(scope="session")
def shared():
    """Folder with real photographs; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("needs the real photographs of ../shared")
    return SHARED


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """A generated folder in COCO's layout."""
    from tests.generated import make_coco

    return make_coco(tmp_path_factory.mktemp("data") / "coco")


def import_transformers():
    """The package transformers; skips where it is absent or needs a newer torch."""
    transformers = pytest.importorskip("transformers", reason="needs extra dev")
    if not transformers.is_torch_available():
        pytest.skip("transformers needs a newer torch", allow_module_level=True)
    return transformers


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def mmseg_scope():
    """Whatever framework's name an earlier test has left as the default."""
    from mmengine.registry import init_default_scope

    init_default_scope("mmseg")


@pytest.fixture
def convert(monkeypatch, capsys):
    """tools/convert_weights.py in this process; the text it prints, or its one line of error."""

    tool = str(ROOT / "tools/convert_weights.py")

    def run(*arguments, ok=True):
        monkeypatch.setattr(sys, "argv", ["convert_weights.py", *map(str, arguments)])
        if ok:
            runpy.run_path(tool, run_name="__main__")
            return capsys.readouterr().out
        from tests.commands import mistake

        return mistake(capsys, runpy.run_path, tool, run_name="__main__")

    return run


@functools.cache
def read_config(path):
    from mmengine.config import Config

    return Config.fromfile(path, import_custom_modules=path.is_relative_to(ROOT / "configs"))


def step_of(pipeline, name):
    """The one step of a pipeline that has this type, of whatever scope."""
    (step,) = [step for step in pipeline if step["type"].split(".")[-1] == name]
    return step


def load_config(name):
    """A config of the repository, parsed once and copied for every caller."""
    return copy.deepcopy(read_config(ROOT / "configs" / f"{name}.py"))


SMALL_CONFIG = "maskformer_r18_shapes"


def build_without_weights(name):
    """The model of a config, without its pretrained backbone."""
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    cfg = load_config(name)
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model)


@pytest.fixture(scope="session")
def small_model():
    torch.manual_seed(3)
    return build_without_weights(SMALL_CONFIG)


@pytest.fixture
def released(small_model, tmp_path):
    """The file of a small model in the format of the original's released ones."""
    from tests.checkpoints.original_format import original_weights

    path = tmp_path / "model_final_abc.pkl"
    path.write_bytes(pickle.dumps(original_weights(small_model.state_dict())))
    return path


@pytest.fixture(scope="session")
def sure_model():
    """A small panoptic model that is sure of what it sees; not to be changed."""
    from tests.export.models import confident_model

    return confident_model()


@pytest.fixture(scope="session")
def onnx_file(sure_model, tmp_path_factory):
    """The export of `sure_model`, which takes seconds."""
    pytest.importorskip("onnxruntime", reason="needs extra export")
    from mmmaskformer.export import export

    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export(sure_model, path)
    return path
