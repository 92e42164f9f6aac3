import pytest

from pipeline.corpus.linked import Links, matched_pairs, namesakes, parameters


def test_a_link_joins_objects_of_one_family_or_of_two_packages(documented):
    objects = [
        documented("one.a", "f(x)", "Do it.", see_also=[("g", ""), ("one.b.h", ""), ("two.b.k", ""), ("two.k", ""), ("f", "")]),
        documented("one.a", "g(x)", "Do that."),
        documented("one.b", "h(x)", "Another family of this package."),
        documented("two.b", "k(y)", "Another package."),
    ]
    links = Links(objects)
    assert links.pairs == [("one.a.f", "one.a.g"), ("one.a.f", "two.b.k")]
    assert links.neighbours == {"one.a.f": {"one.a.g", "two.b.k"}, "one.a.g": {"one.a.f"}, "two.b.k": {"one.a.f"}}


@pytest.mark.parametrize("name", ["nowhere", "one.nowhere", "nowhere.g", "twice", "two", "one", "three.g", ""])
def test_a_name_of_nothing_or_of_several_things_links_nothing(documented, name):
    objects = [
        documented("one.a", "f(x)", "Do it.", see_also=[(name, "what it does")]),
        documented("one.b", "twice(x)", "Do that."),
        documented("one.c", "twice(x)", "Do that, too."),
        documented("two.a", "g(y)", "Do that."),
        documented("two.b", "g(y)", "Do that, too."),
    ]
    assert Links(objects).pairs == []


def test_a_name_is_sought_from_where_it_stands_outwards_before_anywhere_else(documented):
    at = documented("one.a", "f(x)", "Do it.")
    near, far = documented("one.a", "g(x)", "Near."), documented("two.a", "g(z)", "Far.")
    links = Links([at, near, far])
    assert links.resolved(at, "g") is near
    assert links.resolved(at, "two.g") is far
    assert links.resolved(at, "two.a.g") is far


def test_namesakes_are_functions_of_two_packages_that_share_a_parameter(documented):
    objects = [
        documented("one.a", "solve(a, b, *args)", "Solve it."),
        documented("one.b", "solve(a)", "Of the same package."),
        documented("two.a", "solve(matrix, /, *, b=1)", "Solve that."),
        documented("three.a", "solve(*args, **b)", "Of no parameter of that name."),
        documented("three.b", "other(a, b)", "Called otherwise."),
        documented("three.c", "Solver.solve(a, b)", "A method."),
        documented("two.c", "Solver(a, b)", "A class of a name of its own."),
        documented("four.c", "", "Without a signature."),
    ]
    assert list(namesakes(objects)) == [("one.a.solve", "two.a.solve")]
    assert parameters(objects[2]) == {"matrix", "b"}


def test_the_unlinked_shares_as_many_words_as_the_linked_does(documented):
    left = documented("one.a", "left()", "apple pear plum fig", see_also=[("linked", "")])
    objects = [
        left,
        documented("one.a", "linked()", "apple pear stone wood"),  # 2 of 6 words
        documented("one.a", "none()", "iron gold tin zinc"),  # 0
        documented("one.a", "alike()", "plum fig iron gold"),  # 2 of 6
        documented("one.a", "more()", "apple pear plum gold"),  # 3 of 5
        documented("two.a", "elsewhere()", "apple pear iron gold"),  # 2 of 6, of another family
    ]
    assert [(a.name, b.name, linked) for a, b, linked in matched_pairs(objects, Links(objects), tolerance=0.1)] == [
        ("one.a.left", "one.a.linked", True),
        ("one.a.left", "one.a.alike", False),
    ]


def test_a_link_without_a_match_is_left_out(documented):
    left = documented("one.a", "left()", "apple pear plum fig", see_also=[("linked", "")])
    linked = documented("one.a", "linked()", "apple pear stone wood")
    far = documented("one.a", "other()", "iron gold tin zinc")
    objects = [left, linked, far]
    assert list(matched_pairs(objects, Links(objects), tolerance=0.1)) == []
    assert len(list(matched_pairs(objects, Links(objects), tolerance=0.5))) == 2


def test_what_a_third_object_links_to_both_is_not_called_unlinked(documented):
    hub = documented("one.a", "hub()", "apple pear plum fig", see_also=[("left", ""), ("right", "")])
    objects = [hub, documented("one.a", "left()", "apple pear"), documented("one.a", "right()", "plum fig")]
    assert list(matched_pairs(objects, Links(objects), tolerance=1.0)) == []


def test_equal_summaries_make_no_pair(documented):
    left = documented("one.a", "left()", "The same words", see_also=[("linked", "")])
    objects = [left, documented("one.a", "linked()", "The same words"), documented("one.a", "other()", "Further words here")]
    assert list(matched_pairs(objects, Links(objects), tolerance=1.0)) == []


def test_no_pair_comes_twice(documented):
    see_also = [(f"f{i}", "") for i in range(4)]
    objects = [documented("one.a", f"f{i}()", f"word{i} of it", see_also=see_also if i == 0 else ()) for i in range(7)]
    pairs = [frozenset((a.name, b.name)) for a, b, _ in matched_pairs(objects, Links(objects), tolerance=1.0)]
    assert len(pairs) == len(set(pairs)) == 6  # three unlinked ones are left for four links
