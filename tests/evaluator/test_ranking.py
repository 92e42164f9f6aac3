import numpy as np
import pytest
import pytrec_eval

from pipeline.evaluator.ranking import Ranked

MEASURES = {"ndcg_cut.3,10", "recall.5", "map", "recip_rank"}


@pytest.mark.parametrize("seed", range(8))
def test_every_measure_is_trec_evals_with_ties_missing_documents_and_grades(seed):
    random = np.random.default_rng(seed)
    num_queries, num_documents, depth = 20, 40, 12
    documents = sorted(f"d{i}" for i in random.permutation(1000)[:num_documents])
    queries = sorted(f"q{i}" for i in range(num_queries))
    judgements = {
        q: {documents[j]: int(random.integers(-1, 4)) for j in random.permutation(num_documents)[: random.integers(1, 25)]}
        for q in queries
    }
    row_BK = np.stack([random.permutation(num_documents)[:depth] for _ in queries])
    score_BK = random.integers(0, 4, size=row_BK.shape).astype(np.float32)  # mostly ties
    row_BK[:3, 5:] = -1  # fewer documents found than asked for
    row_BK[3] = -1  # none at all: trec_eval passes over such a query, here it counts 0
    run = {
        q: {documents[r]: float(s) for r, s in zip(row_BK[i], score_BK[i], strict=True) if r >= 0}
        for i, q in enumerate(queries)
    }
    expected = pytrec_eval.RelevanceEvaluator(judgements, MEASURES).evaluate(run)
    ranked = Ranked(score_BK, row_BK, queries, documents, judgements)
    found = {
        "ndcg_cut_3": ranked.ndcg(3), "ndcg_cut_10": ranked.ndcg(10), "recall_5": ranked.recall(5),
        "map": ranked.average_precision(), "recip_rank": ranked.mrr(depth),
    }  # fmt: skip
    for name, values in found.items():
        np.testing.assert_allclose(values, [expected.get(q, {}).get(name, 0.0) for q in queries], atol=1e-9, err_msg=name)


def test_a_query_with_nothing_relevant_scores_zero_everywhere():
    ranked = Ranked(np.ones((1, 2)), np.array([[0, 1]]), ["q"], ["a", "b"], {"q": {"a": 0}})
    assert [m.tolist() for m in (ranked.ndcg(10), ranked.recall(10), ranked.average_precision(), ranked.mrr(10))] == [[0.0]] * 4
