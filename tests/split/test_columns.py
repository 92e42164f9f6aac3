"""What curation decides on columns is what a plain, slow reading of the rules decides row by row."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cluster.equal import Equal
from pipeline.cluster.join import Join
from pipeline.corpus.compared import Compared
from pipeline.corpus.near import restricted
from pipeline.corpus.records import Records
from pipeline.corpus.row import Row
from pipeline.dedup.exact import Exact
from pipeline.dedup.near import Near
from pipeline.split.contamination import Contamination
from pipeline.split.group import unit_keys

JOIN = Join(unit="word", size=1, threshold=0.5, workers=1)
WORDS = ["a", "b", "c", "d", "Ä", "-"]
texts = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
rows = st.lists(
    st.builds(
        Row,
        st.sampled_from(["retrieval", "sts"]),
        st.sampled_from(["q1", "q2", "q3"]),
        texts,
        st.sampled_from(["d1", "d2", "d3"]),
        texts,
        st.sampled_from([None, 0.0, 1.0]),
        st.sampled_from([None, "train", "test"]),
        st.sampled_from([None, "g"]),
    ),
    max_size=14,
)
slow = settings(derandomize=True, deadline=None, max_examples=150)


def similarity(left, right):
    """Of two texts that are compared by their words; texts without a word are like themselves alone."""
    one, other = ({word for word in text.split() if word != "-"} for text in (left, right))
    if not one or not other:
        return float(left == right)
    return len(one & other) / len(one | other)


def near(left, right):
    found = similarity(left, right)
    return found if found >= JOIN.threshold else 0.0


def plain_exact(given_rows):
    kept, gone, first, ids = [], [], {}, {}
    for row in given_rows:
        if row.split == "test":
            kept.append(row)
            continue
        query, document = row.query.lower(), row.document.lower()
        twin = first.setdefault((row.task, query, document), row)
        if twin is not row:
            gone.append((row, twin))
        elif row.score is None:
            of_query = ids.setdefault((row.task, "query", query), row.query_id)
            kept.append(
                replace(row, query_id=of_query, document_id=ids.setdefault((row.task, "document", document), row.document_id))
            )
        else:
            kept.append(row)
    return kept, gone


@slow
@given(rows)
def test_repeated_pairs_go_as_they_do_one_by_one(found):
    kept, dropped = Exact()("c", found, str.lower)
    expected, gone = plain_exact(found)
    assert kept == expected
    assert [(one.query, one.document, one.detail) for one in dropped] == [
        (row.query, row.document, f"{twin.query_id} | {twin.document_id}") for row, twin in gone
    ]


@slow
@given(rows, st.sampled_from(["first", "longest", "complete"]))
def test_near_pairs_go_as_they_do_one_by_one(found, keep):
    left, repeated = plain_exact(found)
    open_rows = [row for row in left if row.split != "test"]

    def rank(i):
        row = open_rows[i]
        length, filled = len(row.query) + len(row.document), (row.score is not None) + (row.group is not None)
        return {"first": (i,), "longest": (-length, i), "complete": (-filled, -length, i)}[keep]

    stays, best = [], {}
    for i in sorted(range(len(open_rows)), key=rank):
        row = open_rows[i]
        twins = [
            min(near(row.query.lower(), other.query.lower()), near(row.document.lower(), other.document.lower()))
            for other in (open_rows[j] for j in stays)
            if (other.task, other.score) == (row.task, row.score)
        ]
        if max(twins, default=0) > 0:
            best[i] = max(twins)
        else:
            stays.append(i)
    kept, dropped = Near(neighbours=JOIN, keep=keep)("c", found, str.lower)
    gone = {id(open_rows[i]) for i in best}
    assert kept == [row for row in left if id(row) not in gone]
    assert [one.similarity for one in list(dropped)[len(repeated) :]] == pytest.approx([best[i] for i in sorted(best)])


@slow
@given(rows, rows, st.sampled_from(["text", "query", "document", "pair"]), st.booleans())
def test_train_rows_give_away_what_they_give_away_one_by_one(train, evaluation, match, by_words):
    def alike(left, right):
        return near(left.lower(), right.lower()) if by_words else float(left.lower() == right.lower())

    def of(row, other):
        if match == "pair":
            return min(alike(row.query, other.query), alike(row.document, other.document))
        own = {"text": ("query", "document")}.get(match, (match,))
        return max(alike(getattr(row, one), getattr(other, two)) for one in own for two in own)

    expected = [max((of(row, other) for other in evaluation), default=0.0) for row in train]
    found = Contamination(match=match, neighbours=JOIN if by_words else Equal())(train, evaluation, str.lower)
    wordless = [not set(f"{row.query} {row.document}".split()) - {"-"} for row in train]
    for i, row in enumerate(train):
        if by_words and wordless[i]:
            continue  # a text without a word is near to none, and equal only as it stands
        assert found.similarity[i] == pytest.approx(expected[i])
        assert (found.place[i] < 0) == (expected[i] == 0)
        if found.place[i] >= 0:
            assert of(row, evaluation[found.place[i]]) == pytest.approx(expected[i])


@slow
@given(rows)
def test_a_unit_is_named_after_its_first_end(found):
    def ends(row):
        if row.group is not None:
            return {f"g {row.group}"}
        judged = row.task == "retrieval" and row.score is not None and row.score <= 0
        return {f"q {row.query_id}"} | (set() if judged else {f"d {row.document_id}"})

    own = [ends(row) for row in found]
    for _ in found:
        own = [set().union(one, *(other for other in own if other & one)) for one in own]
    assert unit_keys(found) == [min(one) for one in own]


def test_near_texts_that_were_sought_once_are_those_that_are_sought_anew():
    draw = random.Random(0)
    every = [" ".join(draw.choice(WORDS) for _ in range(draw.randrange(5))) for _ in range(60)]
    known = Compared(str.lower)
    table = known.numbered(Records.of(Row, [Row("retrieval", "q", text, "d", text) for text in every]))
    for _ in range(20):
        chosen = table.take(draw.sample(range(60), 25))
        some = list(dict.fromkeys(chosen.noted("query").tolist()))
        shared, fresh = known.near(JOIN, some), JOIN([known.plain[i].as_py() for i in some])
        for one, other in zip(
            (shared.set_of, shared.left, shared.right, shared.similarity),
            (fresh.set_of, fresh.left, fresh.right, fresh.similarity),
            strict=True,
        ):
            assert one.tolist() == other.tolist()
    assert restricted(known.near(JOIN, some), []).num_sets == 0
