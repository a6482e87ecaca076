"""transformers' MaskFormer does the work of the others, and no more."""

from benchmarks.kit import transformers_model
from benchmarks.kit.batches import make_batch
from tests.conftest import import_transformers

import_transformers()


def test_losses_of_all_layers_in_training_and_masks_of_the_last_in_inference(monkeypatch):
    model = transformers_model.build(18, 20, 10, "cpu")
    network, found = model.network, []
    get_logits, criterion = network.get_logits, network.criterion.forward

    def logits(outputs):
        found.append(get_logits(outputs))
        return found[-1]

    def losses(*args):
        found.append(criterion(*args))
        return found[-1]

    monkeypatch.setattr(network, "get_logits", logits)
    monkeypatch.setattr(network.criterion, "forward", losses)
    batch = make_batch((64, 96), 1, 3, 20, "cpu")
    model.train().loss(*batch)
    assert len(found[0][2]) == 6  # the decoder's input counts as an output, and the last is apart
    assert sum(name.startswith("loss_mask") for name in found[-1]) == 7
    found.clear()
    model.eval().predict(*batch)
    assert [len(auxiliary) for _, _, auxiliary in found] == [0]


def test_dropout_is_the_originals():
    model = transformers_model.build(18, 20, 10, "cpu")
    layer = model.network.model.transformer_module.decoder.layers[0]
    attentions = layer.self_attn, layer.encoder_attn
    assert [attention.attention_dropout for attention in attentions] == [0.1, 0.1]
    assert (layer.dropout, layer.mlp.dropout, layer.mlp.activation_dropout) == (0.1, 0.1, 0.1)
