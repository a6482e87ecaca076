# DeepLab's ResNet-101: a stem of three convolutions (64, 64, 128), and 1-2-4 multi-grid in the
# last stage, which keeps its stride. For the weights, download
# https://dl.fbaipublicfiles.com/detectron2/DeepLab/R-103.pkl and run
# tools/convert_weights.py R-103.pkl pretrained/r101c_deeplab.pth
_base_ = ["./maskformer_r50.py"]
model = dict(
    backbone=dict(
        type="ResNetV1c",
        depth=101,
        stem_channels=128,
        multi_grid=(1, 2, 4),
        init_cfg=dict(checkpoint="pretrained/r101c_deeplab.pth"),
    )
)
