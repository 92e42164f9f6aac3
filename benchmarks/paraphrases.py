"""How many planted paraphrases of test texts the search for paraphrases finds, and what of planted texts that say something else.

    python benchmarks/paraphrases.py [--planted 200] [--seed 0] [--out FILE]

Needs `dvc repro curate`. Documents of the default corpus' test rows, each told again in one way, are put beside its train texts, and as
many texts that differ from a document in one word that matters. Both are made by rules, below; none is one of the search's own lists but
for the negation. Beside the search stand words alone, the edit similarity of letters, and the cosine of the model over all texts.
"""

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SYNONYMS = (
    "compute calculate|return give|returns gives|create make|creates makes|remove delete|select choose|show display|"
    "find locate|given supplied|list sequence|values entries|value entry|array matrix|function routine|object instance|"
    "number count|specified stated|method procedure|fit adapt|optional voluntary|name label|names labels|used employed|"
    "using employing|build construct|begin start|get obtain|convert transform|check verify|whole entire|fast quick|"
    "large big|small little|error mistake|test trial|change alter|draw plot|contains holds|contain hold|default standard|"
    "data records|perform execute|apply use|set assign|estimate approximation|write record|call invoke|update refresh|"
    "current present|file document|way manner|example instance"
)
SIBLINGS = (
    "mean median|sum product|row column|string integer|list dictionary|file folder|image sound|model dataset|train score|"
    "class module|index key|matrix scalar|date price|function variable|parameter attribute|kernel solver|"
    "classifier regressor|cluster tree|plot table|axis legend|text picture|array graph|values labels|data weights|"
    "probability distance|sample feature|path host|series frame|line circle|color size|object file|node edge|name length|"
    "distribution polynomial|filter window|estimator transformer"
)
INSERTED = ("basically", "given", "respective", "particular", "following", "overall", "actual", "corresponding")
BREAK = re.compile(r"(?<=[.;,:])\s+|\s+(?=(?:and|with|for|in|from|using|by|of)\s)")
AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|can|could|will|would|should|must|may|might)\b(?! not)", re.IGNORECASE)
Way = Callable[[str, random.Random], str | None]


def reordered(text: str, draw: random.Random) -> str | None:
    """The clauses behind one of the breaks first."""
    parts = BREAK.split(text.strip().rstrip("."))
    if len(parts) < 2:
        return None
    at = draw.randrange(1, len(parts))
    return f"{' '.join(parts[at:])}, {' '.join(parts[:at])}"


def renamed(text: str, draw: random.Random, names: str = SYNONYMS, most: int = 3) -> str | None:
    """Up to ``most`` words by others."""
    pairs = [pair.split() for pair in names.split("|")]
    both = dict(pairs) | ({other: one for one, other in pairs} if names is SIBLINGS else {})
    words = re.split(r"(\W+)", text)
    found = [i for i, word in enumerate(words) if word.lower() in both]
    for i in draw.sample(found, min(most, len(found))):
        other = both[words[i].lower()]
        words[i] = other.capitalize() if words[i][0].isupper() else other
    return "".join(words) if found else None


def inserted(text: str, draw: random.Random) -> str:
    words = text.split()
    for word in draw.sample(INSERTED, 2):
        words.insert(draw.randrange(1, len(words)), word)
    return " ".join(words)


def inflected(text: str, draw: random.Random) -> str | None:
    """Up to four words in another number or tense."""

    def other(word: str) -> str:
        if word.endswith("s") and not word.endswith("ss"):
            return word[:-1]
        if word.endswith(("ing", "ed")):
            return word[: -3 if word.endswith("ing") else -2] + "s"
        return word[:-1] + "ing" if word.endswith("e") else word + draw.choice(["s", "ed", "ing"])

    words = text.split()
    found = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    for i in draw.sample(found, min(4, len(found))):
        words[i] = other(words[i])
    return " ".join(words) if found else None


def renumbered(text: str, draw: random.Random) -> str | None:
    changed = re.sub(r"\d", lambda digit: str((int(digit[0]) + draw.randint(1, 9)) % 10), text)
    return changed if changed != text else None


def all_at_once(text: str, draw: random.Random) -> str | None:
    one = reordered(text, draw)
    two = renamed(one, draw) if one else None
    return inflected(inserted(two, draw), draw) if two else None


def negated(text: str, draw: random.Random) -> str:
    if AUXILIARY.search(text):
        return AUXILIARY.sub(lambda found: f"{found[0]} not", text, count=1)
    return f"Do not {text[0].lower()}{text[1:]}"


def sibling(text: str, draw: random.Random) -> str | None:
    return renamed(text, draw, SIBLINGS, 1)


def other_entity(often: Counter[str]) -> Way:
    """The rarest word by another that is as rare."""
    rare = sorted(word for word, n in often.items() if 2 <= n <= 20 and len(word) > 4 and word.isalpha())

    def way(text: str, draw: random.Random) -> str | None:
        words = sorted(set(re.findall(r"[A-Za-z]{5,}", text)), key=lambda word: (often[word.lower()], word))
        if not words:
            return None
        another = draw.choice(rare)
        return re.sub(rf"\b{words[0]}\b", another.capitalize() if words[0][0].isupper() else another, text)

    return way


def planted(texts: Sequence[str], corpus: Sequence[str], num: int, seed: int) -> list[tuple[str, bool, str, str]]:
    """(way, whether it says the same, text, what was made of it); each text in one way, ``num`` paraphrases and as many others."""
    often = Counter(word.lower() for text in corpus for word in re.findall(r"[A-Za-z]+", text))
    same: dict[str, Way] = {
        "reordered": reordered, "synonyms": renamed, "inserted": inserted, "inflected": inflected, "numbers": renumbered,
        "all at once": all_at_once,
    }  # fmt: skip
    other: dict[str, Way] = {"negation": negated, "another entity": other_entity(often), "a like thing": sibling}
    draw = random.Random(seed)
    order = sorted(texts)
    draw.shuffle(order)
    made: list[tuple[str, bool, str, str]] = []
    for agrees, ways in ((True, same), (False, other)):
        counts: Counter[str] = Counter()
        while order and counts.total() < num:
            text = order.pop()
            for name in sorted(ways, key=lambda name: (counts[name], name)):
                if (found := ways[name](text, draw)) and found.lower() != text.lower():
                    made.append((name, agrees, text, found))
                    counts[name] += 1
                    break
    return made


def judged(made: Sequence[tuple[str, bool, str, str]], found: set[tuple[str, str]]) -> dict[str, Any]:
    """``found``: pairs (text, what was made of it) that a search calls the same."""
    right = sum(agrees and (text, told) in found for _, agrees, text, told in made)
    wrong = sum(not agrees and (text, told) in found for _, agrees, text, told in made)
    by_way: dict[str, list[int]] = {}
    for name, _, text, told in made:
        by_way.setdefault(name, []).append((text, told) in found)
    return {
        "recall": round(right / sum(agrees for _, agrees, *_ in made), 4),
        "precision": round(right / max(1, right + wrong), 4),
        "found": {name: f"{sum(hits)} of {len(hits)}" for name, hits in by_way.items()},
    }


def _between(texts: Sequence[str], side: Sequence[int], number: Sequence[int], told: Any, same: Any) -> set[tuple[str, str]]:
    """Pairs of texts (evaluation, train) that say the same."""
    sets: dict[int, list[int]] = {}
    for i, one in enumerate(number):
        sets.setdefault(one, []).append(i)
    pairs = [*zip(told.left[same].tolist(), told.right[same].tolist(), strict=True), *((one, one) for one in sets)]
    both = ((i, j) for one, other in pairs for i in sets[one] for j in sets[other] if side[i] != side[j])
    return {(texts[i], texts[j]) if side[i] else (texts[j], texts[i]) for i, j in both}


def main() -> None:
    from difflib import SequenceMatcher

    import numpy as np
    import yaml

    from pipeline.build import build
    from pipeline.cluster.paraphrase import nearest_first
    from pipeline.corpus.files import read
    from pipeline.corpus.row import Row

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--planted", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    section = yaml.safe_load((Path(__file__).parents[1] / "conf/cluster/paraphrase.yaml").read_text(encoding="utf-8"))
    search = build(section)
    model = search.by_model.model
    train, test = (
        list(
            dict.fromkeys(
                t for row in read(Path(f"data/curated/apidocs/{split}.parquet"), Row) for t in (row.query, row.document)
            )
        )
        for split in ("train", "test")
    )
    long = [text for text in test if 8 <= len(text.split()) <= 60]
    made = planted(long, train, arguments.planted, arguments.seed)
    known = [*train, *(told for *_, told in made)]
    texts = [*known, *test]
    side = [0] * len(known) + [1] * len(test)
    wanted = {(text, told) for _, _, text, told in made}
    results: dict[str, Any] = {"train texts": len(train), "test texts": len(test), "planted": len(made), "seed": arguments.seed}
    search.told(texts[:50])  # compiled
    start = time.process_time()
    told = search.told(texts, side)
    by_words = time.process_time() - start
    number, asked = told.set_of.tolist(), nearest_first(told)[: search.most]
    _, member = np.unique(told.set_of, return_index=True)
    start = time.process_time()
    agreed = told.same.copy()
    agreed[asked] = search.by_model([(texts[member[told.left[k]]], texts[member[told.right[k]]]) for k in asked])
    by_model = time.process_time() - start
    for name, same, spent in (("words alone", told.same, by_words), ("words, then the model", agreed, by_words + by_model)):
        found = _between(texts, side, number, told, same)
        results[name] = judged(made, found) | {
            "CPU seconds": round(spent, 2), "pairs looked at": len(told.left), "left open by words": int(told.open.sum()),
            "pairs found that were not planted": len(found - wanted),
        }  # fmt: skip
        others = sorted(found - wanted)
    results["not planted, some"] = random.Random(0).sample(others, min(8, len(others)))
    letters = {
        (text, told)
        for _, _, text, told in made
        if SequenceMatcher(None, text.lower(), told.lower(), autojunk=False).ratio() >= 0.9
    }
    results["letters, edit similarity 0.9"] = judged(made, letters)
    left, right = (model([one[k] for one in made]) for k in (2, 3))
    value = (left * right).sum(1)
    for cosine in (0.8, 0.9, 0.95):
        near = {(text, told) for (_, _, text, told), v in zip(made, value, strict=True) if v >= cosine}
        results[f"model alone, cosine {cosine}"] = judged(made, near)
    for key, value in results.items():
        print(f"{key}: {value}")
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
