import torch

from pipeline.merging.task_arithmetic import TaskArithmetic


def test_the_sum_of_the_task_vectors_is_scaled_and_zero_gives_the_base(state, merged):
    base, experts = state(0), [state(1), state(2)]
    for name, value in merged(TaskArithmetic(norm=0.4), base, experts).items():
        torch.testing.assert_close(value, base[name] + 0.4 * sum(e[name] - base[name] for e in experts), atol=1e-6, rtol=0)
    assert all(torch.equal(v, base[n]) for n, v in merged(TaskArithmetic(norm=0.0), base, experts).items())
