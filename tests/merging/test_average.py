import pytest

from pipeline.merging.average import Average


def test_the_last_checkpoints_count_and_older_ones_less(state, models):
    given = models(state(0), [state(k) for k in (1, 2, 3, 4)])
    assert Average(last=2, decay=1.0, trajectories=[]).coefficients(given)["all"] == [0, 0, 0.5, 0.5]
    assert Average(last=3, decay=0.5, trajectories=[]).coefficients(given)["all"] == pytest.approx([0, 1 / 7, 2 / 7, 4 / 7])


def test_each_training_is_averaged_by_itself_and_trainings_count_alike(state, models):
    given = models(state(0), [state(k) for k in (1, 2, 3, 4)])
    told, found = (Average(last=2, decay=0.5, trajectories=sizes) for sizes in ([3, 1], []))
    found.group([3, 1])  # as the stage says it
    for method in (told, found):
        assert method.coefficients(given)["all"] == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2])
    told.group([2, 2])  # what was written down goes before
    assert told.trajectories == [3, 1]
    with pytest.raises(ValueError, match=r"trajectories: expected numbers of experts with the sum 4, got \[3\]"):
        Average(last=2, decay=0.5, trajectories=[3]).coefficients(given)


@pytest.mark.parametrize("change", [{"last": 0}, {"decay": 0.0}, {"decay": 1.5}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=r"conf/merging/average.yaml"):
        Average(**{"last": 1, "decay": 1.0, "trajectories": []} | change)
