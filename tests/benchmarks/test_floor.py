"""What the floor of a model does, and how the table shows it."""

import torch
from torch import nn

from benchmarks import inference as tool
from benchmarks.kit import inference
from benchmarks.kit.floor import Products, floor_of


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 5)
        self.ran = 0

    def forward(self, x):
        self.ran += 1
        x = self.norm(self.conv(x)).relu().flatten(2).mT.contiguous()
        x = nn.functional.scaled_dot_product_attention(*3 * [x[:, None]])[:, 0]
        return self.linear(x.sum(1)) @ torch.ones(5, 2)


def noted(function):
    with torch.no_grad(), Products() as products:
        function()
    return [
        (func._schema.name, [tuple(x.shape) for x in args if isinstance(x, torch.Tensor)])
        for func, args, _ in products.calls
    ]


def test_the_floor_is_the_convolutions_and_products():
    model, images = Network().eval(), torch.randn(2, 3, 6, 7)
    run = floor_of(lambda: model(images))
    ran = model.ran
    again = noted(run)
    assert model.ran == ran
    assert again == noted(lambda: model(images))
    convolution, attention, linear, product = again
    assert convolution == ("aten::convolution", [(2, 3, 6, 7), (4, 3, 3, 3), (4,)])
    assert "scaled_dot_product" in attention[0]
    assert attention[1] == 3 * [(2, 1, 42, 4)]
    assert linear == ("aten::addmm", [(5,), (2, 4), (4, 5)])
    assert product == ("aten::mm", [(2, 5), (5, 2)])


def test_ratios_to_the_floor():
    found = inference.with_floors({"ours": 3.0, "mmseg's": 6.0, inference.FLOOR: 2.0})
    _, header, rows = tool.table("latency", found)
    assert header == ["", "infer s / image", "ratio", "of the floor"]
    assert rows[:2] == [["ours", "3.000", "1.00", "1.50"], ["mmseg's", "6.000", "2.00", "3.00"]]
    assert rows[2] == [inference.FLOOR, "2.000", "0.67", "1.00"]
