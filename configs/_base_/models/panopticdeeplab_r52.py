# detectron2's ResNet with a stem of three convolutions (64, 64, 128), and 2-4-8 multi-grid in the
# last stage. For the weights, download https://dl.fbaipublicfiles.com/detectron2/DeepLab/R-52.pkl
# and run tools/convert_weights.py R-52.pkl pretrained/r52_deeplab.pth
_base_ = ["./panopticdeeplab_r50.py"]
model = dict(
    backbone=dict(
        type="ResNetV1c",
        stem_channels=128,
        multi_grid=(2, 4, 8),
        init_cfg=dict(checkpoint="pretrained/r52_deeplab.pth"),
    )
)
