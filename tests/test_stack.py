"""What importing the package does, and what it leaves alone, in fresh processes."""

import subprocess
import sys
import textwrap
import types

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import FlexibleRunner, Runner, checkpoint
from torch.utils.data import DataLoader

from tests.conftest import ROOT


def fresh(code, *options):
    """Run code in a new interpreter; what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *options, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


STACK = "('mmengine', 'mmcv', 'mmseg', 'mmdet', 'matplotlib', 'torch')"


def test_importing_the_package_loads_none_of_the_stack():
    code = f"""
        import sys
        finders = len(sys.meta_path)
        import mmmaskformer
        print([name for name in {STACK} if name in sys.modules], len(sys.meta_path) - finders)
    """
    assert fresh(code) == "[] 1"


@pytest.mark.parametrize(
    "first", [pytest.param("mmmaskformer", marks=pytest.mark.slow), "mmengine.runner"]
)
def test_checkpoints_are_read_safely_whatever_is_imported_first(first, tmp_path):
    torch.save({"state_dict": Harmful()}, tmp_path / "bad.pth")
    code = f"""
        import {first}
        import mmmaskformer
        from mmengine.runner.checkpoint import CheckpointLoader
        try:
            CheckpointLoader.load_checkpoint({str(tmp_path / "bad.pth")!r})
        except RuntimeError as error:
            print(error)
    """
    assert "bad.pth is refused" in fresh(code)


class Harmful:
    def __reduce__(self):
        return eval, ("1 + 1",)


def test_every_scheme_of_mmengine_reads_safely(tmp_path, monkeypatch):
    """Some of its loaders call `torch.load` themselves, on paths and on streams."""
    path = tmp_path / "bad.pth"
    torch.save({"state_dict": Harmful()}, path)
    monkeypatch.setattr(checkpoint, "get_external_models", lambda: {"bad": str(path)})
    backend = types.SimpleNamespace(get=lambda name: path.read_bytes())
    monkeypatch.setattr(checkpoint, "get_file_backend", lambda *args, **kwargs: backend)
    for name in (str(path), "openmmlab://bad", "s3://bad.pth"):
        with pytest.raises(RuntimeError, match=r"\.pth is refused: it asks for"):
            checkpoint.CheckpointLoader.load_checkpoint(name)
    torch.save({"w": torch.ones(1)}, path)
    assert checkpoint.CheckpointLoader.load_checkpoint("s3://bad.pth")["w"] == 1
    assert checkpoint.torch.Tensor is torch.Tensor


class OneWeight(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, mode="loss"):
        return dict(loss=self.layer(x).sum())


@pytest.mark.parametrize("runner", [Runner, FlexibleRunner])
def test_resuming_executes_nothing_of_the_checkpoint(runner, tmp_path):
    """mmengine hands the text of the config in it to `Config.fromstring`."""

    def run(iterations, load_from=None):
        made = runner(
            model=OneWeight(),
            work_dir=str(tmp_path),
            experiment_name=f"{runner.__name__}{iterations}{tmp_path}".replace("/", "_"),
            train_dataloader=DataLoader([dict(x=torch.ones(1))] * 9),
            train_cfg=dict(by_epoch=False, max_iters=iterations),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            param_scheduler=dict(type="OneCycleLR", eta_max=0.1, total_steps=9, by_epoch=False),
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2)),
            load_from=load_from,
            resume=load_from is not None,
        )
        made.train()
        return made

    run(2)
    saved = torch.load(tmp_path / "iter_2.pth", weights_only=False)
    text = f"import os\nos.mkdir({str(tmp_path / 'harmed')!r})\n"
    saved["meta"]["config"] = saved["meta"]["cfg"] = text
    torch.save(saved, tmp_path / "evil.pth")
    resumed = run(4, str(tmp_path / "evil.pth"))
    assert resumed.iter == 4
    assert len(resumed.message_hub.log_scalars["train/loss"].data[0]) == 4
    assert not (tmp_path / "harmed").exists()


def test_missing_op_names_itself_and_the_remedy():
    ext = sys.modules.get("mmcv._ext")
    if ext is None or getattr(ext, "__file__", None):
        pytest.skip("full mmcv is installed")
    import mmcv.ops
    from mmengine.utils.dl_utils import mmcv_full_available

    with pytest.raises(RuntimeError, match="'nms'.*pip install 'mmcv"):
        mmcv.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    assert not mmcv_full_available()


def test_full_mmcv_is_left_alone(tmp_path):
    package = tmp_path / "mmcv"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_ext.py").write_text("compiled = True\n")
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import mmmaskformer
        import mmcv._ext
        print(mmcv._ext.compiled, type(mmcv.__spec__.loader).__name__)
    """
    assert fresh(code) == "True SourceFileLoader"
