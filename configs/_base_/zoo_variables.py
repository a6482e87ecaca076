# What leaves over a full config of mmseg choose from. Names of their own, because mmseg's config
# brings `val_evaluator`, and two bases may not define the same.
iou_evaluator = [
    dict(type="mmmaskformer.IoUMetric"),
    dict(type="mmmaskformer.SemanticPQMetric"),
]
ade20k_evaluator = [
    dict(type="mmmaskformer.SceneParsingMetric"),
    dict(type="mmmaskformer.SemanticPQMetric"),
]
# The file that torchvision://resnet50 stands for, without torchvision.
resnet50 = dict(
    type="Pretrained", checkpoint="https://download.pytorch.org/models/resnet50-0676ba61.pth"
)
