import numpy as np
import torch

from pipeline.pooling.cls_ordinary import cls_ordinary


def test_the_first_token_stands_beside_the_mean(tiny_encoder, tmp_path):
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [50.0, 50.0]]])
    found = cls_ordinary(2)({"token_embeddings": hidden, "attention_mask": torch.tensor([[1, 1, 0]])})["sentence_embedding"]
    assert found.tolist() == [[1.0, 2.0, 2.0, 3.0]]
    encoder = tiny_encoder({"_target_": "pipeline.pooling.cls_ordinary.cls_ordinary"})
    assert encoder.width == 32
    encoder.save(tmp_path / "model")
    given = ["the cat", "a dog ran"]
    ours = encoder.encode(given, max_length_tokens=12, batch_tokens=64, title="")
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(given, show_progress_bar=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
