"""A backbone out of a folder or the Hub, as the class whose token vectors are read: no heads, no decoder."""

from typing import Any

from transformers import AutoConfig, AutoModel, EsmModel, PreTrainedModel, T5EncoderModel


def load_backbone(name: str, **given: Any) -> PreTrainedModel:
    """``given`` as `from_pretrained` takes it. T5 (ProtT5, Ankh) comes without its decoder, ESM without its pooler, which no vector
    depends on and most folders lack."""
    config = AutoConfig.from_pretrained(name, **{key: value for key, value in given.items() if key != "use_safetensors"})
    if config.model_type == "t5":
        return T5EncoderModel.from_pretrained(name, **given)
    if config.model_type == "esm":
        return EsmModel.from_pretrained(name, add_pooling_layer=False, **given)
    return AutoModel.from_pretrained(name, **given)
