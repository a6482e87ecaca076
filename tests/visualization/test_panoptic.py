import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from mmseg.structures import SegDataSample

from mmmaskformer.registry import VISUALIZERS
from mmmaskformer.visualization.panoptic import draw_names, paint_panoptic, panoptic_overlay, shade

PALETTE = [[200, 40, 40], [40, 160, 60]]
META = dict(classes=["car", "grass"], palette=PALETTE, isthing=[True, False])
IDS = np.zeros((40, 60), np.int32)
IDS[5:35, :20] = 7
IDS[5:35, 20:40] = 9
IDS[5:35, 40:] = 4
SEGMENTS = [
    dict(id=7, category_id=0, score=0.9),
    dict(id=9, category_id=0),
    dict(id=4, category_id=1),
]


def test_segments_of_a_class_have_shades_of_its_colour():
    shades = [tuple(shade(PALETTE[0], n)) for n in range(30)]
    assert shades[0] == tuple(PALETTE[0])
    assert len(set(shades)) == 30
    red = np.array(shades, int)
    assert (red[:, 0] > red[:, 1:].max(1)).all()


def test_painting():
    painted = paint_panoptic(IDS, SEGMENTS, PALETTE, META["isthing"])
    assert painted[10, 5].tolist() == PALETTE[0]  # the first of its class
    assert painted[10, 30].tolist() == list(shade(PALETTE[0], 1))
    assert painted[10, 50].tolist() == PALETTE[1]
    assert painted[0, 0].tolist() == [0, 0, 0]  # void
    # Borders: between the cars, between car and grass, around cars; not between grass and void.
    assert painted[10, 19].tolist() == [255] * 3
    assert painted[10, 39].tolist() == [255] * 3
    assert painted[4, 10].tolist() == [255] * 3
    assert painted[4, 50].tolist() == [0, 0, 0]


def test_overlay_mixes_with_the_image():
    image = np.full((40, 60, 3), 100, np.uint8)
    mixed = paint_panoptic(IDS, SEGMENTS, PALETTE, META["isthing"], image=image, alpha=0.5)
    assert np.abs(mixed[10, 50].astype(int) - (np.array(PALETTE[1]) + 100) / 2).max() <= 1


def test_names_are_written_where_they_fit():
    painted = paint_panoptic(IDS, SEGMENTS, PALETTE, META["isthing"])
    named = draw_names(painted, IDS, SEGMENTS[:1], META["classes"])
    changed = (named != painted).any(2)
    assert changed[5:35].any()
    assert not changed[:5].any()
    tiny = np.zeros((40, 60), np.int32)
    tiny[3:6, 3:6] = 7
    assert np.array_equal(draw_names(painted, tiny, SEGMENTS[:1], META["classes"]), painted)


@pytest.mark.parametrize("kind", ["PanopticSegVisualizer", "PanopticDetVisualizer"])
def test_visualizer_puts_truth_and_result_side_by_side(kind, tmp_path):
    visualizer = VISUALIZERS.build(dict(type=f"mmmaskformer.{kind}", name=f"{kind}_{tmp_path}"))
    visualizer.dataset_meta = META
    image = np.full((40, 60, 3), 100, np.uint8)
    side = BaseDataElement(ids=torch.from_numpy(IDS), segments_info=SEGMENTS)
    empty = BaseDataElement(ids=torch.zeros(40, 60, dtype=torch.int32), segments_info=[])
    sample = SegDataSample(gt_panoptic_seg=side, pred_panoptic_seg=empty)
    visualizer.add_datasample("x", image, sample, out_file=str(tmp_path / "x.png"))
    drawn = visualizer.get_image()
    assert drawn.shape == (40, 120, 3)
    assert np.array_equal(drawn[:, :60], panoptic_overlay(image, IDS, SEGMENTS, META))
    assert (tmp_path / "x.png").is_file()
    visualizer.add_datasample("x", image, sample, draw_gt=False)
    assert visualizer.get_image().shape == (40, 60, 3)


def test_visualizer_without_panoptic_results_is_mmsegs(tmp_path):
    visualizer = VISUALIZERS.build(
        dict(type="mmmaskformer.PanopticSegVisualizer", name=f"plain_{tmp_path}")
    )
    visualizer.dataset_meta = dict(classes=META["classes"], palette=PALETTE)
    from mmengine.structures import PixelData

    sample = SegDataSample(pred_sem_seg=PixelData(data=torch.ones(1, 40, 60).long()))
    image = np.full((40, 60, 3), 100, np.uint8)
    visualizer.add_datasample("x", image, sample, out_file=str(tmp_path / "x.png"))
    assert (tmp_path / "x.png").is_file()
