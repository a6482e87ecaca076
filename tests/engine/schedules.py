"""Learning rates that schedules of a config give."""

from functools import lru_cache

import numpy as np
import torch
from mmengine.registry import PARAM_SCHEDULERS

import mmmaskformer  # noqa: F401


def start(schedules, end, lr=1e-4):
    """An optimizer, and its schedules in a run of `end` iterations, as mmengine builds them."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    optimizer.step()
    default = dict(end=end, optimizer=optimizer)
    return optimizer, [PARAM_SCHEDULERS.build({**default, **schedule}) for schedule in schedules]


def go_on(optimizer, built, steps):
    """The learning rates of the next iterations, and the one after them."""
    (group,) = optimizer.param_groups
    values = [group["lr"]]
    for _ in range(steps):
        for schedule in built:
            schedule.step()
        values.append(group["lr"])
    return values


def learning_rates(schedules, end, lr=1e-4):
    """The learning rate of every iteration, and the one that is left after the last."""
    return _learning_rates(tuple(map(freeze, schedules)), end, lr)


def freeze(schedule):
    return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in schedule.items())


@lru_cache(maxsize=32)
def _learning_rates(schedules, end, lr):
    return np.array(go_on(*start([dict(schedule) for schedule in schedules], end, lr), end))
