import pytest
import torch
from transformers import ConvBertConfig
from transformers.models.convbert.modeling_convbert import ConvBertLayer

from pipeline.protein.head.convbert import ConvBert

SETTINGS = {"layers": 1, "heads": 8, "kernel": 7, "head_ratio": 2, "dropout": 0.2, "attention_dropout": 0.1}


def head(**changes):
    torch.manual_seed(0)
    return ConvBert(**(SETTINGS | changes))(16).eval()


def test_without_padding_it_is_the_layer_of_transformers():
    ours = head()
    theirs = ConvBertLayer(
        ConvBertConfig(
            hidden_size=16,
            embedding_size=16,
            num_attention_heads=8,
            intermediate_size=8,
            conv_kernel_size=7,
            head_ratio=2,
            num_groups=1,
            hidden_act="gelu",
        )
    ).eval()
    theirs.load_state_dict(ours.layers[0].state_dict())
    with torch.no_grad():
        for parameter in theirs.parameters():  # larger than they begin, so that a difference shows
            parameter.add_(0.3 * torch.randn(parameter.shape))
    ours.layers[0].load_state_dict(theirs.state_dict())
    hidden = torch.randn(3, 12, 16)
    torch.testing.assert_close(ours(hidden, torch.ones(3, 12, dtype=torch.long)), theirs(hidden), atol=1e-5, rtol=1e-5)


def test_padding_is_not_read_and_what_stands_there_gets_no_gradient():
    model = head(layers=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    hidden = torch.randn(1, 5, 16)
    padded = torch.cat([hidden, torch.full((1, 6, 16), 9.0)], dim=1).requires_grad_()
    mask = torch.tensor([[1] * 5 + [0] * 6])
    alone, found = model(hidden, torch.ones(1, 5, dtype=torch.long)), model(padded, mask)
    torch.testing.assert_close(found[:, :5], alone, atol=1e-6, rtol=1e-6)
    assert not found[:, 5:].any()
    found.sum().backward()
    assert padded.grad[:, :5].any()
    assert not padded.grad[:, 5:].any()


def test_dropout_is_drawn_in_training_alone():
    model = head()
    hidden, mask = torch.randn(2, 6, 16), torch.ones(2, 6, dtype=torch.long)
    assert torch.equal(model(hidden, mask), model(hidden, mask))
    model.train()
    assert not torch.equal(model(hidden, mask), model(hidden, mask))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="kernel must be odd, got 6"):
        ConvBert(**(SETTINGS | {"kernel": 6}))
    with pytest.raises(ValueError, match="width 12 is no multiple of 8 heads"):
        ConvBert(**SETTINGS)(12)
