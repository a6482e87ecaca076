"""Registries of scope `mmmaskformer`, children of mmengine's.

A config that names `mmmaskformer.X` finds X without custom imports. Keep this module light:
mmengine hides the error of a failed import of it.
"""

from mmengine import registry as parents
from mmengine.registry import Registry

_components = ["mmmaskformer.engine.registration"]

MODELS = Registry("model", parent=parents.MODELS, locations=_components)
TASK_UTILS = Registry("task util", parent=parents.TASK_UTILS, locations=_components)
DATASETS = Registry("dataset", parent=parents.DATASETS, locations=["mmmaskformer.datasets"])
TRANSFORMS = Registry(
    "transform",
    parent=parents.TRANSFORMS,
    locations=["mmmaskformer.datasets", "mmmaskformer.det.packing"],
)
METRICS = Registry(
    "metric",
    parent=parents.METRICS,
    locations=["mmmaskformer.evaluation.metrics", "mmmaskformer.evaluation.semantic_metrics"],
)
VISUALIZERS = Registry(
    "visualizer",
    parent=parents.VISUALIZERS,
    locations=["mmmaskformer.visualization.visualizers"],
)
HOOKS = Registry(
    "hook",
    parent=parents.HOOKS,
    locations=["mmmaskformer.engine.outputs", "mmmaskformer.engine.checkpointing"],
)
LOOPS = Registry("loop", parent=parents.LOOPS, locations=["mmmaskformer.engine.loops"])
STRATEGIES = Registry(
    "strategy", parent=parents.STRATEGIES, locations=["mmmaskformer.engine.sharding"]
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor",
    parent=parents.OPTIM_WRAPPER_CONSTRUCTORS,
    locations=["mmmaskformer.engine.merged_groups"],
)
OPTIM_WRAPPERS = Registry(
    "optim_wrapper", parent=parents.OPTIM_WRAPPERS, locations=["mmmaskformer.engine.cpu_amp"]
)
PARAM_SCHEDULERS = Registry(
    "parameter scheduler",
    parent=parents.PARAM_SCHEDULERS,
    locations=["mmmaskformer.engine.schedulers"],
)
