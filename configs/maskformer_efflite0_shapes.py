_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite0.py",
    "./_base_/datasets/shapes.py",
    "./_base_/schedules/efflite_300.py",
]
model = dict(
    decode_head=dict(
        _base_.model_of_data.decode_head,
        num_queries=20,
        channels=128,
        mask_channels=128,
        transformer_decoder=dict(num_layers=3, feedforward_channels=512),
    )
)
