"""One group for each setting: the same numbers as with a group for every parameter, also after
a resumption from a checkpoint with a group for every parameter."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.engine.merged_groups import merge_saved_groups
from tests.engine.runs import Net, log_of, losses, run
from tests.engine.traps import SEED

MERGED = "mmmaskformer.MergedGroups"
SINGLE = "DefaultOptimWrapperConstructor"
BY_SETTING = dict(bias_decay_mult=0.0, custom_keys={"layers.2": dict(lr_mult=0.1)})
NO_BIASES = dict(bias_decay_mult=0.0)
"""Sorts the parameters, which lie the other way in the model."""
SCHEDULES = {
    "ours": dict(type="mmmaskformer.PolyLR", power=0.9, by_epoch=False),
    "mmengine's": dict(type="PolyLR", eta_min=0.0, end=13, by_epoch=False),
}


def wrapper(constructor, **paramwise):
    return dict(
        optimizer=dict(type="AdamW", lr=0.01, weight_decay=0.1),
        clip_grad=dict(max_norm=0.5),
        constructor=constructor,
        paramwise_cfg=paramwise,
    )


def named(groups, model):
    names = {id(p): name for name, p in model.named_parameters()}
    return [[names[id(p)] for p in group["params"]] for group in groups]


def test_groups_and_their_parameters_are_in_the_order_of_the_model():
    model = Net()
    groups = build_optim_wrapper(model, wrapper(MERGED, **NO_BIASES)).optimizer.param_groups
    weights, biases = (
        [f"layers.{n}.weight" for n in (0, 2)],
        [f"layers.{n}.bias" for n in (0, 2)],
    )
    assert named(groups, model) == [weights, biases]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    by_setting = build_optim_wrapper(model, wrapper(MERGED, **BY_SETTING)).optimizer.param_groups
    assert named(by_setting, model) == [
        ["layers.0.weight"],
        ["layers.0.bias"],
        ["layers.2.weight", "layers.2.bias"],
    ]
    assert [group["lr"] for group in by_setting] == [0.01, 0.01, 0.001]
    usual = dict(bias_decay_mult=1.0, custom_keys={"layers.2": dict(lr_mult=1)})
    (whole,) = build_optim_wrapper(model, wrapper(MERGED, **usual)).optimizer.param_groups
    assert named([whole], model) == [[name for name, _ in model.named_parameters()]]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("paramwise", [NO_BIASES, dict(bias_decay_mult=1.0)], ids=["2", "1"])
def test_a_run_with_a_group_for_every_parameter_is_resumed(tmp_path, schedule, paramwise):
    options = dict(param_scheduler=[SCHEDULES[schedule]], **SEED)
    single = dict(optim_wrapper=dict(wrapper(SINGLE, **paramwise), _delete_=True), **options)
    merged = dict(optim_wrapper=dict(wrapper(MERGED, **paramwise), _delete_=True), **options)
    assert run(tmp_path / "single", **single) == [0]
    path = str(tmp_path / "single" / "iter_6.pth")
    assert run(tmp_path / "resumed", resume=True, load_from=path, **merged) == [0], log_of(
        tmp_path / "resumed"
    )
    expected, found = losses(tmp_path / "single"), losses(tmp_path / "resumed")
    assert found.keys() == {7, 8, 9, 10, 11, 12}
    for iteration, (loss,) in found.items():
        assert [loss] == pytest.approx(list(expected[iteration]), rel=1e-6), iteration
    ends = [load_checkpoint_file(str(tmp_path / n / "iter_12.pth")) for n in ("single", "resumed")]
    for name, weight in ends[0]["state_dict"].items():
        torch.testing.assert_close(ends[1]["state_dict"][name], weight, rtol=1e-6, atol=1e-7)
    assert len(ends[0]["optimizer"]["param_groups"]) == 4
    assert len(ends[1]["optimizer"]["param_groups"]) == (2 if paramwise is NO_BIASES else 1)
    # The other way round there is nothing to tell which parameter is which.
    path = str(tmp_path / "resumed" / "iter_8.pth")
    assert run(tmp_path / "back", resume=True, load_from=path, **single) == [1]
    assert "can not be resumed from: its optimizer has 4 parameters in " in log_of(
        tmp_path / "back"
    )


def saved_state(model):
    optim = build_optim_wrapper(model, wrapper(SINGLE, **NO_BIASES))
    schedule = PARAM_SCHEDULERS.build(
        dict(type="PolyLR", eta_min=0.0, end=13, by_epoch=False, optimizer=optim)
    )
    for n, weight in enumerate(model.parameters()):
        weight.grad = torch.full_like(weight, n + 1.0)
    optim.optimizer.step()
    state = dict(optimizer=optim.state_dict(), param_schedulers=[schedule.state_dict()])
    return copy.deepcopy(state)


def test_states_go_to_the_parameters_that_they_are_of():
    model = Net()
    state = saved_state(model)
    optim = build_optim_wrapper(model, wrapper(MERGED))
    before = copy.deepcopy(state)
    merge_saved_groups(state, model, optim.optimizer)
    # Other settings than the checkpoint's: its groups can not be these.
    assert str(state) == str(before)
    optim = build_optim_wrapper(model, wrapper(MERGED, **NO_BIASES))
    merge_saved_groups(state, model, optim.optimizer)
    assert [len(group["params"]) for group in state["optimizer"]["param_groups"]] == [2, 2]
    assert state["param_schedulers"][0]["base_values"] == [0.01] * 3
    optim.load_state_dict(state["optimizer"])
    for n, weight in enumerate(model.parameters()):
        moment = optim.optimizer.state[weight]["exp_avg"]
        torch.testing.assert_close(moment, torch.full_like(weight, 0.1 * (n + 1)))


def test_other_checkpoints_stay_as_they_are():
    model = Net()
    optimizer = build_optim_wrapper(model, wrapper(MERGED, **BY_SETTING)).optimizer
    fewer = saved_state(model)
    fewer["optimizer"]["param_groups"].pop()
    sharded = saved_state(model)
    for group in sharded["optimizer"]["param_groups"]:
        group["params"] = ["layers.0.weight"]
    for state in (fewer, sharded, dict(optimizer=optimizer.state_dict()), {}):
        before = copy.deepcopy(state)
        merge_saved_groups(state, model, optimizer)
        assert str(state) == str(before)
