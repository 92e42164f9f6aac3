import math
from functools import partial

import bm25s
import numpy as np
import pytest

from pipeline.baseline.bm25 import Bm25, tokens, words
from pipeline.baseline.bm25 import bm25 as searched
from pipeline.corpus.collection import Judged
from pipeline.evaluator.retrieval import Retrieval

DOCUMENTS = ["cat sat mat", "dog ran park ran", "cat cat dog", "sunny weather outside tomorrow", "mat"]
K1, B = 0.9, 0.4
bm25 = partial(searched, k1=K1, b=B, language="en", stem=False)


def by_hand(query, document):
    """Lucene's BM25: the numerator has no (k1 + 1), the inverse document frequency is never negative."""
    texts = [text.split() for text in DOCUMENTS]
    length = sum(map(len, texts)) / len(texts)
    total = 0.0
    for word in query.split():
        holding = sum(word in text for text in texts)
        idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        count = document.split().count(word)
        total += idf * count / (count + K1 * (1 - B + B * len(document.split()) / length)) if holding else 0
    return total


@pytest.mark.parametrize("query", ["cat", "dog ran", "mat cat weather", "cat unseen"])
def test_scores_are_those_of_the_formula(query):
    scores, rows = bm25([query], DOCUMENTS, 5)
    expected = [by_hand(query, document) for document in DOCUMENTS]
    found = {row: score for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True) if row >= 0}
    assert found == pytest.approx({row: score for row, score in enumerate(expected) if score > 0}, rel=1e-5)
    assert scores[0].tolist() == sorted(scores[0].tolist(), reverse=True)


def test_letter_case_and_stop_words_make_no_difference():
    plain, _ = bm25(["cat mat"], DOCUMENTS, 5)
    dressed, _ = bm25(["The CAT, and the Mat?"], DOCUMENTS, 5)
    np.testing.assert_allclose(plain, dressed)


def test_stop_words_do_not_make_a_document_longer():
    dressed = [f"the {document} and a" for document in DOCUMENTS]
    np.testing.assert_allclose(bm25(["cat mat"], dressed, 5)[0], bm25(["cat mat"], DOCUMENTS, 5)[0])


def test_as_many_documents_are_ranked_as_asked_for_or_as_there_are():
    for depth, expected in ((2, 2), (100, 5)):
        scores, rows = bm25(["cat", "dog"], DOCUMENTS, depth)
        assert scores.shape == rows.shape == (2, expected)


def test_a_query_without_a_known_word_finds_nothing():
    scores, rows = bm25(["the", "unseen words"], DOCUMENTS, 5)
    assert not scores.any()
    assert (rows == -1).all()


def test_a_document_without_a_common_word_is_not_found_whatever_its_name():
    """The last document by id would stand first among equal scores: an answer by luck."""
    collection = Judged("x", "retrieval", {"q": "unseen"}, {"a": "cat", "z": "dog"}, {"q": {"z": 1}})
    scores, _ = Bm25(k1=K1, b=B, language="en", stem=False).answer(Retrieval(depth=100), collection)
    assert scores == {"ndcg@10": 0, "recall@100": 0, "mrr@10": 0}


def test_what_counts_for_nothing_is_refused():
    for k1, b in ((-0.1, 0.4), (0.9, 1.1)):
        with pytest.raises(ValueError, match=r"b in \[0, 1\]"):
            Bm25(k1=k1, b=b, language="en", stem=False)


def test_documents_without_a_word_are_all_as_far():
    scores, rows = bm25(["cat", "dog"], ["a", "!", "the"], 100)
    assert not scores.any()
    assert rows.tolist() == [[-1, -1, -1]] * 2


def test_words_of_latin_texts_are_those_of_bm25s():
    texts = ["The CAT, and the Mat?", "Größe naïve x_y 12 a", "İstanbul’da cafe\u0301 o\u0301", "Đường phố — 3.5", "", "!"]
    for text in texts:
        plain = bm25s.tokenize([text], stopwords=[], return_ids=False, show_progress=False)[0]
        assert words(text) == plain
    assert tokens(texts, "en", False) == bm25s.tokenize(texts, stopwords="en", show_progress=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("训练sklearn模型", ["sklearn", "训", "练", "训练", "模", "型", "模型"]),
        ("ไป บ้าน", ["ไ", "ป", "ไป", "บ้", "า", "น", "บ้า", "าน"]),
        ("हिन्दी में किताब", ["हिन्दी", "में", "किताब"]),
        ("모델 훈련", ["모델", "훈련"]),
    ],
)
def test_words_of_other_scripts(text, expected):
    assert words(text) == expected


CHINESE = ["如何重置我的密码", "订单什么时候发货", "可以退货吗", "如何取消订单", "修改收货地址"]
THAI = ["วิธีรีเซ็ตรหัสผ่าน", "สินค้าจะส่งเมื่อไร", "คืนสินค้าได้ไหม", "ยกเลิกคำสั่งซื้ออย่างไร", "เปลี่ยนที่อยู่จัดส่ง"]
JAPANESE = [
    "パスワードを再設定する方法",
    "注文はいつ発送されますか",
    "返品できますか",
    "注文をキャンセルしたい",
    "配送先を変更する",
]
KHMER = ["របៀបប្តូរពាក្យសម្ងាត់", "តើទំនិញមកដល់ពេលណា", "តើអាចប្រគល់ទំនិញវិញបានទេ"]


@pytest.mark.parametrize(
    ("documents", "queries"),
    [
        (CHINESE, {"密码忘了": 0, "发货时间": 1, "退货": 2, "取消": 3, "地址": 4}),
        (THAI, {"รหัสผ่าน": 0, "ส่งเมื่อไร": 1, "คืนสินค้า": 2, "ยกเลิก": 3, "ที่อยู่": 4}),
        (JAPANESE, {"パスワード": 0, "いつ発送": 1, "返品": 2, "キャンセル": 3, "変更": 4}),
        (KHMER, {"ពាក្យសម្ងាត់": 0, "មកដល់": 1, "ប្រគល់": 2}),
    ],
)
def test_a_part_of_a_text_without_blanks_finds_it(documents, queries):
    _, rows = bm25(list(queries), documents, 3)
    assert rows[:, 0].tolist() == list(queries.values())


def test_stop_words_are_those_of_the_language():
    german = ["der Hund und die Katze", "das Wetter", "die und der"]
    assert bm25(["die"], german, 3, language="de")[1].tolist() == [[-1, -1, -1]]
    assert bm25(["die"], german, 3, language=None)[1][0, 0] >= 0
    assert bm25(["the"], ["the cat", "a dog"], 2, language=None)[1][0, 0] == 0


def test_stems_find_other_forms_of_a_word():
    pytest.importorskip("Stemmer", reason="needs PyStemmer")
    documents = ["die Katzen schlafen", "der Hund bellt"]
    assert bm25(["katze"], documents, 2, language="de")[1][0, 0] == -1
    assert bm25(["katze"], documents, 2, language="de", stem=True)[1][0, 0] == 0


@pytest.mark.parametrize(
    ("language", "stem", "said"),
    [
        ("german", False, "stop words of da, de, en"),
        ("xx", False, "null leaves none out"),
        ("zh", True, "set stem: false"),
        (None, True, "set stem: false"),
    ],
)
def test_languages_without_words_or_stems_are_refused(language, stem, said):
    with pytest.raises(ValueError, match=said):
        Bm25(k1=K1, b=B, language=language, stem=stem)


def test_a_package_that_stems_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("pipeline.baseline.bm25.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install PyStemmer"):
        Bm25(k1=K1, b=B, language="de", stem=True)
