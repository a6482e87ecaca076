"""Weights of deeplab2's layers, as `max_layers.npz` has them, in ours."""

import torch


class Weights:
    """Arrays of a file under a prefix."""

    def __init__(self, made, prefix):
        self.made, self.prefix = made, prefix

    def __call__(self, name):
        return torch.from_numpy(self.made[self.prefix + name])

    def below(self, name):
        return Weights(self.made, f"{self.prefix}{name}/")

    def put(self, parameter, value):
        with torch.no_grad():
            parameter.copy_(value.reshape(parameter.shape))

    def norm(self, module, name, order=slice(None)):
        pairs = (
            (module.weight, "gamma"),
            (module.bias, "beta"),
            (module.running_mean, "moving_mean"),
            (module.running_var, "moving_variance"),
        )
        for ours, theirs in pairs:
            self.put(ours, self(f"{name}/{theirs}").flatten()[order])

    def conv(self, layers, name, order=slice(None)):
        """A convolution (kernel ..., in, out) and its norm; `order` of the channels that go in."""
        kernel = self(f"{name}/conv/kernel")
        self.put(layers[0].weight, kernel.movedim((-1, -2), (0, 1))[:, order])
        self.norm(layers[1], f"{name}/batch_norm")

    def last(self, layer, name):
        """A convolution with bias."""
        self.put(layer.weight, self(f"{name}/kernel").movedim((-1, -2), (0, 1)))
        self.put(layer.bias, self(f"{name}/bias"))

    def separable(self, layers, name, order=slice(None)):
        part = self.below(f"{name}/conv1_bn_act")
        kernel = part("depthwise/depthwise_conv/depthwise_kernel").permute(2, 3, 0, 1)
        self.put(layers[0][0].weight, kernel[order])
        self.norm(layers[0][1], f"{part.prefix[len(self.prefix) :]}depthwise/batch_norm", order)
        part.conv(layers[1], "pointwise", order)

    def axis(self, module, name):
        part = self.below(name)
        self.put(module.qkv[0].weight, part("qkv_kernel").T)
        part.norm(module.qkv[1], "batch_norm_qkv")
        part.norm(module.logit_norm, "batch_norm_similarity")
        part.norm(module.value_norm, "batch_norm_retrieved_output")
        for kind in ("query", "key", "value"):
            self.put(getattr(module, f"{kind}_table"), part(f"{kind}_rpe/embeddings"))

    def axial(self, module, name):
        self.axis(module.height, f"{name}/height_axis")
        self.axis(module.width, f"{name}/width_axis")


def maps(made, name):
    """An array (B, h, w, K) as (B, K, h, w), or (B, N, K) as (B, K, N)."""
    return torch.from_numpy(made[name]).movedim(-1, 1)


def distance(found, wanted):
    """The largest difference, relative to the largest value."""
    return ((found - wanted).abs().max() / wanted.abs().max()).item()
