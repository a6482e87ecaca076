"""Config files, and --cfg-options."""

from tests.bad_inputs.row import Row
from tests.bad_inputs.tables.changes import append, cut, folder, remove, text

TOOLS = {
    "train": "{} --work-dir runs/a",
    "test": "{} own.pth --work-dir runs/a",
    "check_dataset": "{} --workers 1",
    "print_parameters": "{}",
    "visualize_queries": "--model {} own.pth --device cpu",
    "benchmark": "{} --metrics complexity --size 64 64 --segments 2 --device cpu",
    "quickstart": "{} --work-dir runs/a --images 1",
}
FILES = {
    "none": ("missing", None, "none.py", "none"),
    "a folder": ("bad type", folder("x.py"), "x.py", "x.py"),
    "an image": ("bad type", None, "own/images/val/000.jpg", "000"),
    "empty": ("bad value", text("x.py", ""), "x.py", "x|model"),
    "half": ("unreadable", cut("own.py", 0.7), "own.py", "own"),
    "latin-1": ("unreadable", text("x.py", b"a = '\xe9'\n"), "x.py", "x|utf"),
    "raises": ("unreadable", append("own.py", "1 / 0\n"), "own.py", "own|zero"),
    "no base": ("missing", text("x.py", "_base_ = './nowhere.py'\n"), "x.py", "nowhere"),
    "base of itself": ("contradictory", text("x.py", "_base_ = './x.py'\n"), "x.py", "x"),
    "no model": ("missing", append("own.py", "model = None\n"), "own.py", "model|head"),
    "model of a list": ("bad type", append("own.py", "model = [1]\n"), "own.py", "model|list"),
    "unknown model": (
        "bad value",
        append("own.py", "model.update(type='MaskFormr')\n"),
        "own.py",
        "MaskFormr",
    ),
}
"""Name -> kind, change, argument, words."""
SOME = {
    "test": ("none", "half", "raises", "no model", "unknown model"),
    "quickstart": ("none", "half"),
}
"""Those for the tools that read configs as others do."""

OPTIONS = [
    ("bad type", "foo", "foo"),
    ("bad type", "=3", "="),
    ("bad type", "train_cfg.max_iters", "train_cfg.max_iters"),
    ("bad value", "train_dataloder.batch_size=1", "did you mean 'train_dataloader'"),
    ("bad value", "crop_size=4", "crop_size"),
    ("bad value", "model.decode_head.num_querys=1", "num_querys"),
    ("bad value", "model.backbone.dept=18", "dept"),
    ("bad value", "model.decode_head.num_classes=0", "num_classes"),
    ("bad value", "model.decode_head.num_classes=-3", "num_classes"),
    ("bad type", "model.decode_head.num_classes=three", "num_classes"),
    ("bad type", "model.decode_head.num_classes=3.5", "num_classes"),
    ("contradictory", "model.decode_head.num_classes=7", "classes"),
    ("bad value", "model.decode_head.num_queries=0", "num_queries"),
    ("bad value", "model.decode_head.num_queries=-1", "num_queries"),
    ("bad value", "model.decode_head.channels=33", "channels"),
    ("bad value", "model.decode_head.mask_channels=0", "mask_channels"),
    ("bad value", "model.decode_head.transformer_decoder.num_layers=0", "num_layers"),
    ("bad value", "model.decode_head.transformer_decoder.dropout=1.5", "dropout"),
    ("bad value", "model.decode_head.transformer_decoder.num_heads=5", "heads"),
    ("contradictory", "model.decode_head.in_channels=[8,16,32]", "in_channels|levels|backbone"),
    ("contradictory", "model.decode_head.in_channels=[8,16,32,65]", "channels|65"),
    ("bad value", "model.decode_head.ignore_index=1", "ok|ignore_index"),
    ("bad value", "model.decode_head.align_corners=True", "align_corners"),
    ("bad value", "model.decode_head.loss_cls.no_object_weight=-1", "no_object_weight"),
    ("bad value", "model.decode_head.loss_mask.loss_weight=-1", "loss_weight"),
    ("bad value", "model.backbone.depth=19", "depth"),
    ("bad type", "model.backbone=3", "backbone"),
    ("bad value", "model.test_cfg.mode=wholes", "wholes"),
    ("bad value", "model.test_cfg.semantic=1", "semantic"),
    ("missing", "model.test_cfg.mode=slide", "crop_size|stride"),
    ("contradictory", "model.test_cfg.panoptic_on=True", "isthing"),
    ("bad value", "train_cfg.max_iters=-5", "max_iters"),
    ("bad value", "train_cfg.max_iters=0", "max_iters"),
    ("bad type", "train_cfg.max_iters=ten", "max_iters"),
    ("bad value", "train_cfg.val_interval=0", "val_interval"),
    ("bad value", "train_cfg.type=Loop", "Loop"),
    ("bad value", "train_cfg.max_iter=3", "max_iter"),
    ("bad value", "default_hooks.checkpoint.interval=0", "interval"),
    ("bad value", "default_hooks.checkpoint.intervall=1", "intervall"),
    ("bad value", "default_hooks.logger.interval=0", "interval"),
    ("bad value", "train_dataloader.batch_size=0", "batch_size"),
    ("bad type", "train_dataloader.batch_size=two", "batch_size"),
    ("bad value", "train_dataloader.num_workers=-1", "num_workers"),
    ("contradictory", "train_dataloader.persistent_workers=True", "persistent_workers"),
    ("bad value", "train_dataloader.dataset.type=FolderDatset", "FolderDatset"),
    ("bad type", "train_dataloader.dataset.data_root=3", "data_root"),
    ("missing", "train_dataloader.dataset.data_root=nowhere", "nowhere"),
    ("missing", "train_dataloader.dataset.data_prefix.img_path=images/x", "images/x|no images"),
    ("bad type", "train_dataloader.dataset.pipeline=4", "pipeline"),
    ("bad value", "train_dataloader.dataset.img_suffix=.gif", "gif|no images|empty"),
    ("bad value", "optim_wrapper.optimizer.lr=-1", "lr"),
    ("bad type", "optim_wrapper.optimizer.lr=fast", "lr|fast"),
    ("bad value", "optim_wrapper.optimizer.type=AdamX", "AdamX"),
    ("bad value", "optim_wrapper.clip_grad.max_norm=-1", "max_norm"),
    ("bad value", "param_scheduler.0.type=PolyLRR", "PolyLRR"),
    ("bad value", "param_scheduler.0.power=x", "power"),
    ("bad value", "param_scheduler.3.power=1", "param_scheduler"),
    ("missing", "val_evaluator=None", "val_evaluator"),
    ("bad value", "val_evaluator.0.type=IoUMetrc", "IoUMetrc"),
    ("bad value", "runner_type=Runer", "Runer"),
    ("bad value", "log_level=LOUD", "LOUD|log_level"),
    ("bad value", "default_scope=mmsegg", "mmsegg|scope"),
    ("bad type", "default_scope=3", "default_scope"),
    ("missing", "default_scope=None", "write 'mmseg.ResNet', or set default_scope='mmseg'"),
    ("bad type", "custom_hooks=3", "custom_hooks"),
    ("missing", "load_from=nowhere.pth", "nowhere.pth"),
    ("bad value", "randomness.seed=x", "seed"),
    ("good", "train_cfg.max_iters=1 train_dataloader.batch_size=1", "ok"),
    ("good", "model.decode_head.num_queries=3", "ok"),
    ("good", "randomness.seed=3 randomness.deterministic=True", "ok"),
]
"""Kind, --cfg-options of train.py, words."""

DTYPE = "--cfg-options optim_wrapper.dtype"
ROWS = [
    Row(tool, kind, arguments.format(name), words, change, name=f"config: {title}")
    for tool, arguments in TOOLS.items()
    for title, (kind, change, name, words) in FILES.items()
    if tool in ("train", "check_dataset") or title in SOME.get(tool, SOME["test"])
]
ROWS += [
    Row("train", kind, f"own.py --work-dir runs/a --cfg-options {options}", words)
    for kind, options, words in OPTIONS
]
ROWS += [
    Row("train", "bad type", "own.py --cfg-options", "cfg-options|expected"),
    Row("train", "missing", "", "config"),
    Row("train", "bad value", "own.py --no-such-option", "no-such-option"),
    Row("train", "bad value", "own.py --launcher slrm", "slrm"),
    Row("train", "good", "own.py --amp --work-dir runs/a", "ok: mIoU"),
    Row("train", "good", f"own.py --amp --work-dir runs/a {DTYPE}=bfloat16", "ok: mIoU"),
    Row("train", "bad value", f"own.py --amp --work-dir runs/a {DTYPE}=bf16", "dtype.*bfloat16"),
    Row("train", "contradictory", f"own.py --work-dir runs/a {DTYPE}=bfloat16", "dtype.*--amp"),
    Row("train", "contradictory", "own.py --work-dir own.pth", "own.pth"),
    Row("train", "bad value", "own.py --work-dir /proc/x", "/proc/x"),
    Row("train", "missing", "own.py --work-dir runs/a", "classes.txt", remove("own/classes.txt")),
    Row("train", "good", "pan.py --work-dir runs/a", "ok"),
    Row("test", "good", "own.py own.pth --work-dir runs/a", "ok: mIoU"),
    Row("test", "good", "pan.py pan.pth --work-dir runs/a", "ok: PQ"),
    Row("test", "good", "own.py own.pth --work-dir runs/a --aug-test", "ok: mIoU"),
    Row("test", "good", "own.py own.pth --work-dir runs/a --out runs/o --show-dir runs/s", "ok"),
    Row("test", "bad value", "own.py own.pth --work-dir runs/a --out own.py", "own.py"),
    Row("test", "contradictory", "own.py own.pth --out own/annotations/val", "annotations"),
    Row("test", "contradictory", "own.py own.pth --out own/images/val", "images"),
    Row("test", "contradictory", "own.py own.pth --show-dir own/annotations/val", "annotations"),
    Row("test", "contradictory", "pan.py pan.pth --out pan/panoptic/val", "pan"),
    Row("test", "bad type", "own.py own.pth --wait-time long", "wait-time|wait_time"),
    Row("test", "missing", "own.py", "checkpoint"),
    Row("test", "contradictory", "pan.py pan.pth --aug-test --cfg-options tta_model=None", "tta"),
    Row("test", "missing", "own.py own.pth --cfg-options test_evaluator=None", "test_evaluator"),
    Row("check_dataset", "good", "own.py --workers 1", "ok: no problems found"),
    Row("check_dataset", "good", "pan.py --workers 1 --out counts", "ok: no problems found"),
    Row("check_dataset", "bad value", "own.py --workers 0", "workers"),
    Row("check_dataset", "bad type", "own.py --workers two", "workers"),
    Row("check_dataset", "bad value", "own.py --split trains", "trains"),
    Row("check_dataset", "bad value", "own.py --workers 1 --out own.py", "own.py"),
]
