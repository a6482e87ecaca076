"""Print shape, learning rate and weight decay of every parameter: CONFIG [--cfg-options ...]"""

import argparse

from rich.console import Console
from rich.table import Table

from mmmaskformer.checkpoints.conversion import WithoutMemory
from mmmaskformer.engine.config_check import config_errors
from mmmaskformer.engine.runner import add_common_arguments, load_config
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.parameters import count_parameters


def parse_args() -> argparse.Namespace:
    parser = Parser(description="Print every parameter's optimizer group")
    parser.add_argument("config", help="config file")
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    from mmengine.logging import MMLogger
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    MMLogger.get_instance("print_parameters", log_level="WARNING")
    register_all_modules(init_default_scope=False)
    DefaultScope.get_instance("print_parameters", scope_name=cfg.get("default_scope", "mmseg"))
    with config_errors(cfg), WithoutMemory():
        model = MODELS.build(cfg.model)
    # Mixed precision needs a GPU and changes no group.
    parts = ("optimizer", "paramwise_cfg", "constructor")
    if not cfg.get("optim_wrapper"):
        raise ValueError(f"{args.config} has no optim_wrapper, which says the learning rates")
    optim_wrapper = {key: cfg.optim_wrapper[key] for key in parts if key in cfg.optim_wrapper}
    with config_errors(cfg):
        optimizer = build_optim_wrapper(model, optim_wrapper).optimizer
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    table = Table("parameter", "shape", "lr", "weight decay", title=args.config, box=None)
    trained = 0
    for name, parameter in model.named_parameters():
        shape = "x".join(map(str, parameter.shape))
        if parameter.requires_grad:
            group = groups[id(parameter)]
            table.add_row(name, shape, f"{group['lr']:g}", f"{group['weight_decay']:g}")
            trained += parameter.numel()
        else:
            table.add_row(name, shape, "frozen", "")
    Console(width=160).print(table)
    print(f"{trained} trained parameters, {count_parameters(model)} in all")


if __name__ == "__main__":
    run(main)
