import numpy as np

from pipeline.corpus.collection import Pairs
from pipeline.evaluator.items import grouped, item_counts


def test_items_get_the_group_that_the_collection_ties_them_into_and_others_are_their_own():
    collection = Pairs("x", "sts", [], groups={"p": "text p", "q": "text p", "s": "group one"})
    items = {"id": ["q", "p", "r", "s"], "cosine": [0.1, 0.2, 0.3, 0.4]}
    assert grouped(items, collection) == items | {"group": ["text p", "text p", "r", "group one"]}


def test_an_item_is_in_a_draw_as_often_as_its_group():
    counts = np.array([[0, 1, 2], [3, 0, 0]])  # of a, b, c
    assert item_counts(["c", "a", "b", "c"], counts).tolist() == [[2, 0, 1, 2], [0, 3, 0, 0]]
