import numpy as np
import pytest

from pipeline.evaluator.geometry import alignment, geometry


def on_sphere(num, width, *, seed=0, lean=0.0):
    vectors = np.random.default_rng(seed).normal(size=(num, width))
    vectors[:, 0] += lean
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_axes_fill_all_directions_alike():
    found = geometry(np.eye(4))
    assert found["rankme"] == pytest.approx(4, abs=1e-4)
    assert found["singular_entropy"] == pytest.approx(1, abs=1e-5)
    assert found["uniformity"] == pytest.approx(np.log(np.exp(-4)))  # every pair at a squared distance of 2
    assert found["condition_number"] == pytest.approx(1)  # once the mean is taken off, three directions are left
    assert found["isotropy"] == pytest.approx(1)


def test_vectors_on_one_line_have_one_direction():
    line = np.concatenate([np.tile(np.eye(3)[:1], (3, 1)), -np.eye(3)[:1]])
    assert geometry(line)["rankme"] == pytest.approx(1, abs=1e-4)


def test_a_narrow_cone_is_less_uniform_less_isotropic_and_of_lower_rank():
    wide, narrow = geometry(on_sphere(300, 8)), geometry(on_sphere(300, 8, lean=5.0))
    assert narrow["uniformity"] > wide["uniformity"]
    assert narrow["isotropy"] < wide["isotropy"]
    assert narrow["rankme"] < wide["rankme"]


def test_uniformity_is_the_mean_over_pairs_by_hand():
    vectors = on_sphere(12, 5)
    values = [np.exp(-2 * ((a - b) ** 2).sum()) for i, a in enumerate(vectors) for b in vectors[i + 1 :]]
    assert geometry(vectors)["uniformity"] == pytest.approx(np.log(np.mean(values)))


def test_alignment_is_the_mean_squared_distance():
    assert alignment(np.eye(2), np.eye(2)) == 0
    assert alignment(np.eye(2), np.eye(2)[::-1]) == pytest.approx(2)


def test_one_text_is_refused():
    with pytest.raises(ValueError, match="two texts or more, got 1"):
        geometry(np.eye(1))


def test_a_model_that_gives_all_texts_one_vector_is_measured_too():
    found = geometry(np.tile(np.eye(4, dtype=np.float32)[0], (5, 1)))
    assert (found["condition_number"], found["rankme"]) == (0.0, pytest.approx(1, abs=1e-4))
