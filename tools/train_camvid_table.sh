#!/usr/bin/env bash
# Trains the CamVid models side by side, alike: 600 iterations of 4 crops of 120x160 from images of
# 180x240, from random weights. tools/train_camvid_table.sh [CONFIG ...]
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    set -- maskformer_r18 maskformer_r50 perpixel_r50 perpixelplus_r50 ocrnet_hr18 upernet_r50
    set -- "${@/%/_camvid}"
fi
PYTHON=$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)
SCALE="(240,180)"
DATA=dataloader.dataset.pipeline
for name in "$@"; do
    "$PYTHON" -W ignore tools/train.py "configs/$name.py" --work-dir "work_dirs/camvid_table/$name" \
        --cfg-options "train_$DATA.RandomResize.scale=$SCALE" \
        "train_$DATA.RandomCrop.crop_size=(120,160)" "train_$DATA.Pad.size=(160,120)" \
        "val_$DATA.Resize.scale=$SCALE" "test_$DATA.Resize.scale=$SCALE" \
        train_cfg.max_iters=600 train_cfg.val_interval=600
done
