import numpy as np
import pytest

from pipeline.form.truncated import Truncated

VECTORS = np.array([[0.6, 0.8, 0, 0], [0, 0, 1, 0], [0.5, 0.5, 0.5, 0.5]], dtype=np.float32)


def made(share, tiny):
    return Truncated(share=share).make(tiny, None, lambda texts, side, task: VECTORS, max_length_tokens=12)


class Wide:
    width = 4


def test_the_first_numbers_are_kept_at_unit_length_and_nothing_stays_nothing():
    found = made(0.5, Wide)(["a", "b", "c"], "query", "sts")
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0.5**0.5, 0.5**0.5]], atol=1e-7)
    assert Truncated(share=0.5).vector_bytes(4) == 8


def test_the_whole_width_changes_nothing():
    np.testing.assert_allclose(made(1.0, Wide)(["a", "b", "c"], "query", "sts"), VECTORS, atol=1e-7)


@pytest.mark.parametrize("share", [0, 50, -0.5])
def test_a_percentage_is_refused(share):
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\], got .*write 0.5 for half"):
        Truncated(share=share)
