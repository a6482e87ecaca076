# mmdet's Panoptic FPN, as its config for COCO has it, for the classes of ADE20K.
_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "../zoo_variables.py"]
classes = dict(num_things_classes=100, num_stuff_classes=50)
semantic_head = dict(
    type="PanopticFPNHead",
    loss_seg=dict(type="CrossEntropyLoss", loss_weight=0.5),
    **classes,
)
model = dict(
    type="PanopticFPN",
    data_preprocessor=dict(pad_seg=True),
    backbone=dict(init_cfg=_base_.resnet50),
    roi_head=dict(bbox_head=dict(num_classes=100), mask_head=dict(num_classes=100)),
    semantic_head=semantic_head,
    panoptic_fusion_head=dict(type="HeuristicFusionHead", **classes),
    test_cfg=dict(
        rcnn=dict(score_thr=0.6, nms=dict(class_agnostic=True)),
        panoptic=dict(mask_overlap=0.5, stuff_area_limit=4096),
    ),
)
