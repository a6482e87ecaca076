"""What mmengine logged of a training, read back."""

from __future__ import annotations

import json
from pathlib import Path


def logged(folder: Path) -> tuple[list[dict], list[dict]]:
    """The log's entries of training steps and of validations, of all runs in a work-dir, in order.

    Of a step that was repeated after a kill, the last entry counts. A run may still be going on.
    """
    found: dict[tuple[bool, int], dict] = {}
    for log in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in log.read_text().split("\n")[:-1]:  # the last line may be half-written
            entry = json.loads(line)
            found["loss" in entry, entry["step"]] = entry
    ordered = [found[key] for key in sorted(found, key=lambda key: key[1])]
    steps = [entry for entry in ordered if "loss" in entry]
    return steps, [entry for entry in ordered if "loss" not in entry]
