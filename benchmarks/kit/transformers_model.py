"""transformers' MaskFormer with random weights, as a segmentor of mmseg's interface."""

from __future__ import annotations

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import Tensor, nn

RESNETS = {
    18: {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]},
    50: {
        "layer_type": "bottleneck",
        "depths": [3, 4, 6, 3],
        "hidden_sizes": [256, 512, 1024, 2048],
    },
}
"""Depth -> fields of transformers' `ResNetConfig`."""


class TransformersMaskFormer(BaseModel):
    """`MaskFormerForInstanceSegmentation` with losses after every decoder layer, that trains on
    and predicts samples of mmseg. The backbone's batch norms are frozen.

    Args:
        data_preprocessor: config; transformers' own works on the host.

    Raises:
        ModuleNotFoundError: transformers is not installed.
    """

    def __init__(self, *, depth: int, num_classes: int, num_queries: int, data_preprocessor: dict):
        super().__init__(data_preprocessor)
        try:
            import transformers
            from transformers.models.maskformer.image_processing_pil_maskformer import (
                MaskFormerImageProcessorPil,
            )
        except ImportError as error:
            raise ModuleNotFoundError(
                f"transformers' MaskFormer needs `pip install 'transformers>=5'` ({error})"
            ) from error
        stages = [f"stage{i}" for i in range(1, 5)]
        backbone = transformers.ResNetConfig(out_features=stages, **RESNETS[depth])
        # The original's dropouts; transformers has but one of them by default.
        dropout = dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.1)
        decoder = transformers.MaskFormerDetrConfig(num_queries=num_queries, **dropout)
        config = transformers.MaskFormerConfig(
            backbone_config=backbone,
            decoder_config=decoder,
            num_labels=num_classes,
        )
        self.network = transformers.MaskFormerForInstanceSegmentation(config)
        self.processor = MaskFormerImageProcessorPil()
        self.train()

    @property
    def backbone(self) -> nn.Module:
        return self.network.model.pixel_level_module.encoder

    def train(self, mode: bool = True) -> TransformersMaskFormer:
        """See `nn.Module.train`."""
        super().train(mode)
        # Masks of the inner layers are for losses only.
        self.network.config.use_auxiliary_loss = mode
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval().requires_grad_(False)
        return self

    def targets(self, data_samples: list) -> dict[str, list[Tensor]]:
        """One mask (G, H, W) per class that occurs, and the classes (G,), of every image."""
        maps = [sample.gt_sem_seg.data[0] for sample in data_samples]
        classes = [labels.unique() for labels in maps]
        masks = [(m[None] == c[:, None, None]).float() for m, c in zip(maps, classes, strict=True)]
        return {"mask_labels": masks, "class_labels": classes}

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """The sum of the losses, which is all that transformers returns."""
        targets = self.targets(data_samples)
        # Losses of inner layers need the hidden states.
        return {"loss": self.network(inputs, **targets, output_hidden_states=True).loss}

    def predict(self, inputs: Tensor, data_samples: list) -> list[Tensor]:
        """Labels (H, W) of every image at its `ori_shape`."""
        return self.labels(self.network(inputs), data_samples)

    def labels(self, outputs, data_samples: list) -> list[Tensor]:
        sizes = [tuple(sample.ori_shape) for sample in data_samples]
        return self.processor.post_process_semantic_segmentation(outputs, sizes)

    def forward(self, inputs: Tensor, data_samples: list, mode: str = "predict"):
        """mmengine's entry: mode "loss" or "predict"."""
        return {"loss": self.loss, "predict": self.predict}[mode](inputs, data_samples)


def build(depth: int, num_classes: int, num_queries: int, device: str) -> TransformersMaskFormer:
    """The model with random weights, the same at every call; images are only normalised."""
    MMLogger.get_current_instance().setLevel("ERROR")
    torch.manual_seed(0)
    preprocessor = dict(
        type="mmseg.SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    )
    return TransformersMaskFormer(
        depth=depth,
        num_classes=num_classes,
        num_queries=num_queries,
        data_preprocessor=preprocessor,
    ).to(device)
