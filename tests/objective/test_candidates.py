import math

import pytest
import torch

from pipeline.objective.candidates import all_of, belonging, equal_text, in_blocks, log_sum, nearest, share_cost

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64


def dense(anchor, candidate, entries, temperature):
    similarity = anchor @ candidate.T / temperature
    out = torch.zeros(similarity.shape, dtype=torch.bool)
    for r, c in zip(*(part.tolist() for part in entries), strict=True):
        out[r, c] = True
    return similarity.masked_fill(out, float("-inf")).logsumexp(1)


def some(num_rows, num_columns, seed):
    out = torch.rand(num_rows, num_columns, generator=torch.Generator().manual_seed(seed)) < 0.3
    row, column = out.nonzero(as_tuple=True)
    return row, column


@pytest.mark.parametrize("rows_at_once", [1, 3, 7, 100])
def test_sums_and_gradients_are_those_of_the_whole_matrix_at_once(drawn, rows_at_once):
    entries = some(7, 9, 0)
    inputs = [drawn(7, 4, seed=1).requires_grad_(), drawn(9, 4, seed=2).requires_grad_()]
    toward = drawn(7, seed=3)
    found = log_sum(*inputs, entries, temperature=0.1, rows_at_once=rows_at_once)
    expected = dense(*inputs, entries, 0.1)
    torch.testing.assert_close(found, expected, **EXACT)
    for ours, theirs in zip(
        torch.autograd.grad(found @ toward, inputs), torch.autograd.grad(expected @ toward, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("rows_at_once", [2, 100])
def test_a_row_without_a_candidate_has_no_sum_and_no_gradient(drawn, rows_at_once):
    anchor = drawn(3, 4, seed=0).requires_grad_()
    entries = (torch.tensor([1, 1]), torch.tensor([0, 1]))
    found = log_sum(anchor, drawn(2, 4, seed=1), entries, temperature=0.1, rows_at_once=rows_at_once)
    assert found[1] == -1e30
    share_cost(torch.zeros(3), found).sum().backward()
    assert anchor.grad[1].tolist() == [0, 0, 0, 0]
    assert torch.isfinite(anchor.grad).all()
    assert anchor.grad[0].any()


def test_cosines_of_one_and_a_tiny_temperature_do_not_overflow():
    found = log_sum(torch.eye(3), torch.eye(3), some(1, 1, 5), temperature=1e-4, rows_at_once=10)
    assert found.tolist() == pytest.approx([1e4] * 3)


def test_half_precision_is_raised_and_autocast_does_not_lower(drawn):
    anchor, candidate, none = drawn(4, 8, seed=0), drawn(6, 8, seed=1), (torch.empty(0, dtype=torch.long),) * 2
    expected = log_sum(anchor.float(), candidate.float(), none, temperature=0.05, rows_at_once=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_sum(anchor.float(), candidate.float(), none, temperature=0.05, rows_at_once=2)
    assert torch.equal(found, expected)
    assert log_sum(anchor.bfloat16(), candidate.bfloat16(), none, temperature=0.05, rows_at_once=2).dtype == torch.float32


def test_only_one_block_of_similarities_is_alive_at_a_time(drawn, monkeypatch):
    from pipeline.objective import candidates

    sizes = []
    made = candidates._similarity
    monkeypatch.setattr(candidates, "_similarity", lambda *given: sizes.append(len(given[0])) or made(*given))
    anchor = drawn(10, 4, seed=0).requires_grad_()
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: held.append(tensor.shape) or tensor, lambda tensor: tensor):
        log_sum(anchor, drawn(50, 4, seed=1), some(10, 50, 0), temperature=1.0, rows_at_once=4).sum().backward()
    assert sizes == [4, 4, 2] * 2  # forward, and again backward
    assert not [shape for shape in held if 50 in shape and len(shape) == 2 and shape[1] == 50]


def listed(entries):
    return list(zip(*(part.tolist() for part in entries), strict=True))


def test_equal_text_finds_every_place_of_every_key_of_a_row():
    row, key = torch.tensor([2, 0, 0, 1, 2]), torch.tensor([7, 5, 7, 9, 1])
    text = torch.tensor([7, 5, 9, 5, 7, 3])
    found = listed(equal_text(row, key, text))
    assert sorted(found) == [(0, 0), (0, 1), (0, 3), (0, 4), (1, 2), (2, 0), (2, 4)]
    assert [r for r, _ in found] == sorted(r for r, _ in found)


def test_what_belongs_to_a_text_is_the_text_itself_and_what_is_known_of_it():
    known = torch.tensor([[3, 5], [3, 9], [5, 3], [9, 3], [40, 41], [41, 40]])
    text, candidate = torch.tensor([5, 3, 6, 3]), torch.tensor([9, 3, 5, 6, 5, 40])
    found = listed(belonging(text, candidate, known))
    assert sorted(found) == [(0, 1), (0, 2), (0, 4), (1, 0), (1, 1), (1, 2), (1, 4), (2, 3), (3, 0), (3, 1), (3, 2), (3, 4)]
    assert [r for r, _ in found] == sorted(r for r, _ in found)
    assert listed(belonging(text[:1], candidate, known[:0])) == [(0, 2), (0, 4)]


def test_entries_together_stand_by_rising_row():
    first, second = (torch.tensor([0, 2]), torch.tensor([4, 5])), (torch.tensor([1, 2]), torch.tensor([6, 7]))
    row, column = all_of(first, second)
    assert row.tolist() == [0, 1, 2, 2]
    assert column.tolist() == [4, 6, 5, 7]


@pytest.mark.parametrize("rows_at_once", [1, 4, 5, 50])
def test_a_function_in_blocks_is_the_function(drawn, rows_at_once):
    value = drawn(10, 3, seed=0).requires_grad_()
    found = in_blocks(lambda rows, weight: (rows.exp() * weight).sum(1), value, drawn(10, 3, seed=1), rows_at_once=rows_at_once)
    expected = (value.exp() * drawn(10, 3, seed=1)).sum(1)
    torch.testing.assert_close(found, expected, **EXACT)
    ours, theirs = (torch.autograd.grad(one.square().sum(), value)[0] for one in (found, expected))
    torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("difference", [-50.0, -1.0, 0.0, 30.0, 200.0])
def test_the_cost_is_the_logarithm_of_the_share(difference):
    found = float(share_cost(torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0 + difference, dtype=torch.float64)))
    expected = math.log1p(math.exp(difference)) if difference < 100 else difference
    assert found == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("rows_at_once", [2, 100])
def test_the_nearest_is_the_best_of_those_not_left_out(drawn, rows_at_once):
    anchor, candidate = drawn(5, 4, seed=0), drawn(3, 4, seed=1)
    entries = (torch.tensor([0, 2, 2, 2]), torch.tensor([1, 0, 1, 2]))
    similarity = anchor @ candidate.T
    similarity[0, 1] = -2.0
    expected = similarity.argmax(1).tolist()
    expected[2] = -1
    assert nearest(anchor, candidate, entries, rows_at_once=rows_at_once).tolist() == expected
