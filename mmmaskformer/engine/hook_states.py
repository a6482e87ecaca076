"""What hooks count during a training, in its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine import hooks

COUNTS = {hooks.EarlyStoppingHook: ("best_score", "wait_count")}
"""Stock hooks -> what they and those derived from them count, and mmengine does not save."""


def stateful(runner) -> Iterator[tuple[str, hooks.Hook]]:
    """Hooks of the runner with a state, and the keys under which it is saved.

    Those are hooks of `COUNTS`, and those that define `state_dict` and `load_state_dict`, as
    modules and optimizers do. Of several hooks of a class the second one's key ends in " 2".
    """
    seen: dict[str, int] = {}
    for hook in runner.hooks:
        if has_methods(hook) or counted(hook):
            name = type(hook).__name__
            seen[name] = seen.get(name, 0) + 1
            yield (name if seen[name] == 1 else f"{name} {seen[name]}"), hook


def has_methods(hook: hooks.Hook) -> bool:
    return all(callable(getattr(hook, name, None)) for name in ("state_dict", "load_state_dict"))


def counted(hook: hooks.Hook) -> tuple[str, ...]:
    """The attributes of a hook that `COUNTS` names."""
    return tuple(name for kind, names in COUNTS.items() if isinstance(hook, kind) for name in names)


def state_of(hook: hooks.Hook) -> Any:
    """What is saved of a hook."""
    counts = {name: getattr(hook, name) for name in counted(hook)}
    return {**hook.state_dict(), **counts} if has_methods(hook) else counts


def restore_hooks(runner) -> None:
    """Give the hooks of a resumed run what the checkpoint has of them."""
    for key, hook in stateful(runner):
        saved = runner.message_hub.get_info(key, None)
        if not isinstance(saved, Mapping):
            continue
        names = counted(hook)
        vars(hook).update({name: saved[name] for name in names if name in saved})
        if has_methods(hook):
            hook.load_state_dict({k: v for k, v in saved.items() if k not in names})
