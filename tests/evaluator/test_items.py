import numpy as np

from pipeline.corpus.collection import Pairs
from pipeline.evaluator.items import MeanOfItems, RankedPairs, grouped, item_counts


def test_items_get_the_group_that_the_collection_ties_them_into_and_others_are_their_own():
    collection = Pairs("x", "sts", [], groups={"p": "text p", "q": "text p", "s": "group one"})
    items = {"id": ["q", "p", "r", "s"], "cosine": [0.1, 0.2, 0.3, 0.4]}
    assert grouped(items, collection) == items | {"group": ["text p", "text p", "r", "group one"]}


def test_an_item_is_in_a_draw_as_often_as_its_group():
    counts = np.array([[0, 1, 2], [3, 0, 0]])  # of a, b, c
    assert item_counts(["c", "a", "b", "c"], counts).tolist() == [[2, 0, 1, 2], [0, 3, 0, 0]]


def test_an_item_with_a_score_of_its_own_is_worth_that():
    evaluator = MeanOfItems()
    evaluator.main = "f1"
    assert evaluator.merits({"f1": [0.5, 1.0, 0.0]}).tolist() == [0.5, 1.0, 0.0]


def test_a_pair_is_worth_1_less_the_places_by_which_the_model_puts_it_elsewhere():
    items = {"cosine": [0.9, 0.1, 0.2, 0.8, 0.7], "score": [5.0, 4.0, 3.0, 2.0, 1.0]}  # places 1 5 4 2 3 in place of 1 to 5
    assert RankedPairs().merits(items).tolist() == [1.0, 0.25, 0.75, 0.5, 0.5]


def test_pairs_of_equal_scores_may_stand_in_any_order():
    same = {"score": [1.0, 1.0, 0.0, 0.0]}
    assert RankedPairs().merits(same | {"cosine": [0.8, 0.9, 0.1, 0.2]}).tolist() == [1.0, 1.0, 1.0, 1.0]
    assert RankedPairs().merits(same | {"cosine": [0.9, 0.1, 0.2, 0.3]}).tolist() == [1.0, 1 - 2 / 3, 1.0, 1 - 1 / 3]
    assert RankedPairs().merits({"score": [1.0], "cosine": [0.3]}).tolist() == [1.0]
