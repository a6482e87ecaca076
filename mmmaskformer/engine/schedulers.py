"""Learning rate schedules that are as long as the run, whatever its length.

mmengine gives a scheduler whose config has `by_epoch=False` and no `end` the training loop's
`max_iters` as `end`. Each schedule multiplies what the schedules before it in the list have set.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.optim import scheduler
from mmengine.optim.scheduler.param_scheduler import OptimizerType

from ..registry import PARAM_SCHEDULERS


class _RunLength:
    """The part that the schedules share: they end with the run, also with a resumed longer one."""

    def __init__(self, optimizer: OptimizerType, *, end: int, by_epoch: bool, **kwargs) -> None:
        if by_epoch:
            raise ValueError(
                f"{type(self).__name__} counts iterations, in a loop of epochs too: by_epoch=False "
                "must stand in its config, so that mmengine passes it max_iters"
            )
        # mmengine's schedules reach their last value in the last iteration, which a decay to zero
        # would waste; the paper's reach it when the run is over.
        super().__init__(optimizer, end=end + 1, by_epoch=False, **kwargs)

    def factor(self) -> float:
        """What the base learning rate is multiplied by in the coming iteration."""
        raise NotImplementedError

    def load_state_dict(self, state_dict: dict) -> None:
        """Resume from `state_dict`, and go on with the schedule of this run's length.

        The checkpoint's optimizer has the learning rate of the run that wrote it, which may have
        been shorter or longer.
        """
        lengths = ("end", "total_iters", "milestones")
        ours = {name: value for name, value in self.__dict__.items() if name in lengths}
        super().load_state_dict(state_dict)
        before = self.factor()
        self.__dict__.update(ours)
        after = self.factor()
        if after == before:
            return
        for group, base in zip(self.optimizer.param_groups, self.base_values, strict=True):
            # A learning rate of zero has forgotten its other factors; a warm-up is over by then.
            group["lr"] = group["lr"] * (after / before) if before else base * after


@PARAM_SCHEDULERS.register_module()
class PolyLR(_RunLength, scheduler.PolyLR):
    """(1 - t / `end`)^`power` in iteration t: zero is reached when the run is over."""

    def __init__(
        self, optimizer: OptimizerType, *, end: int, power: float = 0.9, by_epoch: bool = True
    ) -> None:
        super().__init__(optimizer, end=end, by_epoch=by_epoch, power=power)

    def factor(self) -> float:
        return max(0.0, 1 - self.last_step / self.total_iters) ** self.power


@PARAM_SCHEDULERS.register_module()
class MultiStepLR(_RunLength, scheduler.MultiStepLR):
    """Times `gamma` at each of the milestones, which are fractions of the run."""

    def __init__(
        self,
        optimizer: OptimizerType,
        *,
        end: int,
        milestones: Sequence[float],
        gamma: float = 0.1,
        by_epoch: bool = True,
    ) -> None:
        if not all(0 < milestone < 1 for milestone in milestones):
            raise ValueError(
                f"milestones={list(milestones)}: MultiStepLR of mmmaskformer wants fractions of "
                "the run, between 0 and 1"
            )
        steps = [round(milestone * end) for milestone in milestones]
        super().__init__(optimizer, end=end, by_epoch=by_epoch, milestones=steps, gamma=gamma)

    def state_dict(self) -> dict:
        """As plain data, which is all that is read back from a checkpoint."""
        return {**super().state_dict(), "milestones": dict(self.milestones)}

    def factor(self) -> float:
        passed = (n for step, n in self.milestones.items() if step <= self.last_step)
        return self.gamma ** sum(passed)


@PARAM_SCHEDULERS.register_module()
class WarmupLR(_RunLength, scheduler.LinearLR):
    """Linear from `start_factor` to 1 in the first `iters` iterations, or in a shorter run."""

    def __init__(
        self,
        optimizer: OptimizerType,
        *,
        end: int,
        iters: int = 1500,
        start_factor: float = 1e-6,
        by_epoch: bool = True,
    ) -> None:
        super().__init__(
            optimizer, end=min(iters, end), by_epoch=by_epoch, start_factor=start_factor
        )

    def factor(self) -> float:
        done = min(1.0, self.last_step / self.total_iters)
        return self.start_factor + (1 - self.start_factor) * done
