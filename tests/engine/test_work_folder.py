"""What runs make of the checkpoints that they find in their folder, and of each other."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict

from mmmaskformer.engine.resuming import other_optimizer, remove_replaced
from tests.engine.runs import log_of, losses, run
from tests.engine.traps import KILLED, SEED, check_equal, checkpoints, do_in, kill_in, kill_in_write


@pytest.mark.parametrize("content", [None, "", "/nowhere/iter_4.pth", "iter_2.pth"])
def test_last_checkpoint_may_say_anything(tmp_path, whole, content):
    work_dir = shutil.copytree(whole, tmp_path / "copy")
    assert (work_dir / "last_checkpoint").read_text() == "iter_12.pth"
    for number in (10, 12):
        (work_dir / f"iter_{number}.pth").unlink()
    (work_dir / "last_checkpoint").unlink()
    if content is not None:
        (work_dir / "last_checkpoint").write_text(content)
    assert run(work_dir, resume=True) == [0]
    assert f"resuming from {work_dir / 'iter_8.pth'}, the newest" in log_of(work_dir)
    check_equal(work_dir, whole)


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    """In a weight; the archive itself stays in order."""
    weight = torch.load(path, weights_only=True)["state_dict"]["layers.0.weight"]
    content = bytearray(path.read_bytes())
    content[content.index(weight.numpy().tobytes()) + 2] ^= 1
    path.write_bytes(content)


def keep_weights(path):
    torch.save({"state_dict": torch.load(path, weights_only=True)["state_dict"]}, path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (halve, "damaged"),
        (flip_a_bit, "state_dict"),
        (keep_weights, "it has no meta, message_hub, optimizer"),
    ],
)
def test_a_broken_newest_checkpoint_is_named_and_passed_over(tmp_path, whole, spoil, reason):
    work_dir = shutil.copytree(whole, tmp_path / "copy")
    spoil(work_dir / "iter_12.pth")
    broken = (work_dir / "iter_12.pth").read_bytes()
    assert run(work_dir, resume=True) == [0]
    text = log_of(work_dir)
    assert f"{work_dir / 'iter_12.pth'} is passed over: " in text
    assert reason in text
    assert f"resuming from {work_dir / 'iter_10.pth'}, the newest whole" in text
    assert [path.read_bytes() for path in work_dir.glob("earlier_*/*")] == [broken]
    check_equal(work_dir, whole)


def test_without_a_whole_checkpoint_nothing_starts_over(tmp_path, whole):
    work_dir = shutil.copytree(whole, tmp_path / "copy")
    for path in work_dir.glob("*.pth"):
        halve(path)
    assert run(work_dir, resume=True) == [1]
    assert "but none of them can be resumed from" in log_of(work_dir)
    assert len(losses(work_dir)) == 12
    assert run(work_dir, resume=True, load_from=str(work_dir / "iter_2.pth")) == [1]


def test_weights_alone_are_not_resumed_from(tmp_path, whole):
    path = tmp_path / "weights.pth"
    shutil.copy(whole / "iter_8.pth", path)
    keep_weights(path)
    assert run(tmp_path / "run", resume=True, load_from=str(path)) == [1]
    assert f"{path} can not be resumed from: it has no meta, message_hub" in log_of(
        tmp_path / "run"
    )


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (dict(type="SGD", lr=0.1), "it is of the optimizer AdamW, the config has SGD"),
        (dict(type="Adamax", lr=0.1), "it is of the optimizer AdamW, the config has Adamax"),
    ],
)
def test_a_checkpoint_of_another_optimizer_is_not_resumed_from(tmp_path, whole, optimizer, reason):
    path, work_dir = whole / "iter_8.pth", tmp_path / "run"
    options = {"optim_wrapper": dict(_delete_=True, optimizer=optimizer)}
    assert run(work_dir, resume=True, load_from=str(path), **options) == [1]
    assert f"ValueError: {path} can not be resumed from: {reason}; load_from" in log_of(work_dir)


def runner_with(optimizer):
    return SimpleNamespace(optim_wrapper=OptimWrapper(optimizer))


def test_optimizers_are_told_apart_without_their_names():
    weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    adam = torch.optim.AdamW(weights, lr=0.1)
    saved = dict(message_hub=dict(runtime_info={}), optimizer=adam.state_dict())
    assert other_optimizer(saved, runner_with(adam)) is None
    groups = [dict(params=weights[:1]), dict(params=weights[1:])]
    for optimizer, reason in (
        (torch.optim.SGD(weights, lr=0.1), "its optimizer is no SGD, as it has no dampening, mom"),
        (torch.optim.AdamW(groups), "its optimizer has 3 parameters in 1 groups, the config's 3"),
        (torch.optim.AdamW(weights[:2]), "its optimizer has 3 parameters in 1 groups, the conf"),
    ):
        assert other_optimizer(saved, runner_with(optimizer)).startswith(reason)
    both = OptimWrapperDict(a=OptimWrapper(adam), b=OptimWrapper(torch.optim.SGD(weights, lr=1)))
    pair = dict(a=adam.state_dict(), b=adam.state_dict())
    saved = dict(message_hub=dict(runtime_info={}), optimizer=pair)
    found = other_optimizer(saved, SimpleNamespace(optim_wrapper=both))
    assert found.startswith("its optimizer is no SGD")


def test_only_checkpoints_that_were_replaced_are_removed(tmp_path):
    for name in ("iter_2.pth", "iter_4.pth", "mine.pth", "best_score_iter_2.pth"):
        (tmp_path / name).touch()
    names = ["iter_2.pth", "iter_4.pth", "mine.pth", "../other.pth", "best_score_iter_2.pth", 3]
    remove_replaced(tmp_path, "iter_{}.pth", names, "iter_4.pth")
    assert checkpoints(tmp_path) == ["iter_4.pth", "mine.pth"]
    remove_replaced(tmp_path, "iter_{}.pth", "iter_4.pth", "")
    assert checkpoints(tmp_path) == ["iter_4.pth", "mine.pth"]


def test_a_new_run_keeps_the_checkpoints_of_an_earlier_one(tmp_path, whole):
    work_dir = shutil.copytree(whole, tmp_path / "copy")
    shutil.copy(work_dir / "iter_8.pth", work_dir / "best_score_iter_8.pth")
    before = {path.name: path.read_bytes() for path in work_dir.glob("*.pth")}
    (work_dir / "losses0").unlink()
    options = {"randomness": dict(seed=6), "load_from": str(work_dir / "iter_2.pth")}
    assert run(work_dir, kill_in(3), **options) == [KILLED]
    (aside,) = work_dir.glob("earlier_*")
    kept = {path.name: path.read_bytes() for path in aside.glob("*.pth")}
    assert kept == before
    assert checkpoints(work_dir) == ["iter_2.pth"]
    moved = "iter_2.pth, iter_4.pth, iter_6.pth, best_score_iter_8.pth, iter_8.pth"
    assert f"would overwrite: {moved}" in log_of(work_dir)
    assert run(work_dir, resume=True) == [0]  # and nothing is mistaken for a file of this run
    assert f"resuming from {work_dir / 'iter_2.pth'}" in log_of(work_dir)
    assert losses(work_dir) != losses(whole)


def test_a_resume_of_a_copy_leaves_the_original_alone(tmp_path):
    options = {"default_hooks.checkpoint.save_best": "score", **SEED}
    options["default_hooks.checkpoint.rule"] = "greater"
    assert run(tmp_path / "run", kill_in(7), **options) == [KILLED]
    assert "best_score_iter_4.pth" in checkpoints(tmp_path / "run")
    work_dir = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    before = checkpoints(tmp_path / "run")
    assert run(work_dir, resume=True, **options) == [0], log_of(work_dir)
    assert checkpoints(tmp_path / "run") == before
    assert [name for name in checkpoints(work_dir) if "best" in name] == ["best_score_iter_12.pth"]


def test_the_best_checkpoint_is_never_missing(tmp_path):
    options = {"default_hooks.checkpoint.save_best": "score", **SEED}
    options["default_hooks.checkpoint.rule"] = "greater"
    # Checkpoints 2, 4, best 4, 4 again, 6, 8, and the best of iteration 8.
    assert run(tmp_path / "run", kill_in_write(7), **options) == [KILLED]
    assert "best_score_iter_4.pth" in checkpoints(tmp_path / "run")
    assert "iter_8.pth" in checkpoints(tmp_path / "run")


def test_two_runs_do_not_share_a_folder(tmp_path, whole):
    work_dir = tmp_path / "run"

    def start_another():
        assert run(work_dir, resume=True) == [1]

    assert run(work_dir, do_in(3, start_another), **SEED) == [0]
    message = f"RuntimeError: {work_dir} is in use: process "
    assert message in log_of(work_dir)
    assert run(work_dir, resume=True) == [0]  # the lock ends with the run
    check_equal(work_dir, whole)
