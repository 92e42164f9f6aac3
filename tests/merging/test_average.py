import pytest

from pipeline.merging.average import Average


def test_the_last_checkpoints_count_and_older_ones_less(state, models):
    given = models(state(0), [state(k) for k in (1, 2, 3, 4)])
    assert Average(last=2, decay=1.0).coefficients(given)["all"] == [0, 0, 0.5, 0.5]
    assert Average(last=3, decay=0.5).coefficients(given)["all"] == pytest.approx([0, 1 / 7, 2 / 7, 4 / 7])


@pytest.mark.parametrize("change", [{"last": 0}, {"decay": 0.0}, {"decay": 1.5}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=r"conf/method/average.yaml"):
        Average(**{"last": 1, "decay": 1.0} | change)
