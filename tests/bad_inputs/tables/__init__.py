"""The rows, one module for each kind of input."""

from tests.bad_inputs.tables import (
    checkpoints,
    configs,
    data,
    downloads,
    panoptic_files,
    python,
    tools,
)

MODULES = (configs, data, checkpoints, downloads, panoptic_files, tools, python)
ROWS = [row for module in MODULES for row in module.ROWS]
