import pytest

from pipeline.corpus.asked import questions
from pipeline.corpus.linked import Links

MOST = {"said": 2, "shown": 1, "code": 1}


def asked(objects, **changes):
    documents = {each.name: each.prose.summary for each in objects}
    settings = {"most": MOST, "min_words": 3, "max_shared": 0.5} | changes
    return [(each.kind, each.about, each.text) for each in questions(objects, Links(objects), documents, **settings)]


def test_what_is_said_of_an_object_asks_for_it_and_not_for_who_says_it(documented):
    objects = [
        documented("one.a", "f(x)", "Do it.", see_also=[("g", "Makes waves round"), ("two.h", "In another package")]),
        documented("one.a", "g(x)", "A sine."),
        documented("two.b", "h(x)", "A cosine."),
    ]
    assert asked(objects) == [("said", "one.a.g", "Makes waves round"), ("said", "two.b.h", "In another package")]


@pytest.mark.parametrize(
    "mention",
    [
        ("nowhere", "Something that does not exist"),
        ("f", "The very same object again"),
        ("g", ""),
        ("g", "Too short"),
        ("g", "A sine of given length"),  # most of it stands in the document
    ],
)
def test_a_mention_that_asks_for_nothing_is_left_out(documented, mention):
    objects = [documented("one.a", "f(x)", "Do it.", see_also=[mention]), documented("one.a", "g(x)", "A sine of a length.")]
    assert asked(objects) == []


def test_a_text_that_is_said_of_two_objects_asks_for_neither(documented):
    objects = [
        documented("one.a", "f(x)", "Do it.", see_also=[("g", "Integrators for samples"), ("h", "integrators for samples")]),
        documented("one.a", "g(x)", "Romberg."),
        documented("one.a", "h(x)", "Simpson."),
    ]
    assert asked(objects) == []


def test_of_each_kind_there_are_so_many_at_most_and_none_twice(documented):
    said = [
        ("h", "A question of many"),
        ("h", "a question of many"),
        ("h", "Yet another question"),
        ("h", "And a third question"),
    ]
    shown = ["The first is shown", "The second is shown"]
    objects = [
        documented("one.a", "f(x)", "Do it.", see_also=said),
        documented("one.a", "h(x)", "Simpson.", shown=shown, code=["h(1)", "h(2)"]),
    ]
    assert asked(objects) == [
        ("said", "one.a.h", "A question of many"),
        ("said", "one.a.h", "Yet another question"),
        ("shown", "one.a.h", "The first is shown"),
        ("code", "one.a.h", "h(1)"),
    ]
    assert asked(objects, most={"said": 0, "shown": 0, "code": 0}) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("y = m.smooth(x)  # doctest: +SKIP", "y = m.smooth(x)"),
        ("df.smooth", "df.smooth"),
        ("smooth", None),
        ("import smooth", None),
        ("from one import smooth", None),
        ("help(smooth)", None),
        ("# smooth the data", None),
        ("plot(smooth=True)", None),  # an argument of that name
        ("smoothed(x)", None),
        ("plot(x)  # smooth", None),
        ("", None),
    ],
)
def test_a_line_of_code_asks_for_the_object_that_it_uses(documented, line, expected):
    objects = [documented("one.a", "smooth(x)", "Mean of neighbours.", code=[line])]
    assert asked(objects) == ([("code", "one.a.smooth", expected)] if expected else [])


def test_objects_without_further_text_are_asked_nothing(documented):
    assert asked([documented("one.a", "f(x)", "Do it."), documented("one.a", "g(x)", "Do that.")]) == []
    assert asked([]) == []
