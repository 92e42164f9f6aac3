"""A model in every form that `final.forms` names: made, and measured against the model itself on test rows. Stage `final` does this with
the final model, the command `form` with any."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.build import build
from pipeline.corpus.collection import Collection, Encode, Judged, collections
from pipeline.corpus.files import corpora
from pipeline.corpus.train_texts import train_texts
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.comparison import differences
from pipeline.evaluator.items import grouped
from pipeline.evaluator.scores import identity
from pipeline.form.elsewhere import elsewhere
from pipeline.form.onnx import parts
from pipeline.form.stored import Stored
from pipeline.task import kind_of

CURATED = Path("data/curated")


def _told(form: Any, encoder: Encoder, folder: Path, path: str) -> dict[str, Any]:
    """What a form is, how to use it from ``path``, and how large it is."""
    facts = {
        "path": path,
        "file": form.file,
        "pad_id": encoder.pad_id,
        "pad_token": encoder.tokenizer.pad_token,
        "max_length_tokens": encoder.max_length_tokens,
        "dims": form.vector_bytes(encoder.width) // 4,
    }
    return {
        "about": form.about,
        "use": form.use.format(**facts),
        "vector_bytes": form.vector_bytes(encoder.width),
        **({"shared_bytes": form.shared_bytes()} if hasattr(form, "shared_bytes") else {}),
        "file": form.file,
        "file_bytes": sum(part.stat().st_size for part in parts(folder / form.file)) if form.file else None,
        "elsewhere": elsewhere(encoder, path, form.file, form.dtype) if form.file else "",
    }


def forms_of(
    cfg: Mapping[str, Any],
    runtime: Mapping[str, Any],
    folder: Path,
    encoder: Encoder,
    evaluators: Mapping[str, Any],
    *,
    path: str,
) -> dict[str, dict[str, Any]]:
    """Make each form in ``folder``, and measure it against the model itself on test rows. ``path``: where who uses it will find it."""
    section, cut = cfg["final"], cfg["evaluate"]["max_length_tokens"] or encoder.max_length_tokens
    forms = {name: build(node) for name, node in sorted(section["forms"].items()) if node is not None}
    forms = dict(sorted(forms.items(), key=lambda pair: (pair[1].tolerance is None, pair[0])))  # what others build on, first
    test = [c for corpus in corpora(CURATED) for c in collections(CURATED, corpus, "test")] if forms else []
    plain = _remembering(
        lambda texts, side, task: encoder.encode(
            texts,
            max_length_tokens=cut,
            batch_tokens=runtime["batch_tokens"],
            title=f"{task} {side}",
            task=task,
            side=side,
            unit=True,
        ),
        encoder,
    )
    limits = {"resamples": section["resamples"], "confidence": section["confidence"], "seed": cfg["seed"]}
    own = _items(evaluators, plain, test) if any(form.tolerance is None for form in forms.values()) else {}
    _fit(forms, section, plain, cfg["seed"])
    found: dict[str, dict[str, Any]] = {}
    for name, form in forms.items():
        encode = form.make(encoder, folder, plain, max_length_tokens=cut)
        found[name] = _told(form, encoder, folder, path)
        if form.tolerance is None:
            kept = _remembering(encode, encoder)
            items = (
                _stored_items(evaluators, form, kept, plain, test)
                if isinstance(form, Stored)
                else _items(evaluators, kept, test)
            )
            changed = differences(evaluators, items, own, **limits)
            found[name]["test"] = {at: {"change": d.value, "low": d.low, "high": d.high} for at, d in changed.items()}
        else:
            found[name]["farthest"] = _equal(name, form, encode, plain, test, section["texts_compared"])
    return found


def measured(forms: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each form the numbers; they are printed too."""
    for name, form in forms.items():
        changes = [f"{at} {one['change']:+.4f}" for at, one in form.get("test", {}).items()]
        print(f"{name}: " + (", ".join(changes) or f"equal within {form['farthest']:.1e}"))
    return {
        name: {key: form[key] for key in ("test", "vector_bytes", "shared_bytes", "farthest") if key in form}
        for name, form in forms.items()
    }


def _items(evaluators: Mapping[str, Any], encode: Encode, test: Sequence[Collection]) -> dict[str, Any]:
    return {c.name: {**identity(c), **grouped(evaluators[kind_of(c).name].evaluate(encode, c)[1], c)} for c in test}


def _fit(forms: Mapping[str, Any], section: Mapping[str, Any], plain: Encode, seed: int) -> None:
    """Let each form that stores vectors learn from the same train texts. ValueError names the form."""
    stored = {name: form for name, form in forms.items() if isinstance(form, Stored)}
    if not stored:
        return
    distinct = sorted(set(train_texts(CURATED)))
    drawn = sorted(random.Random(seed).sample(distinct, min(section["fit_texts"], len(distinct))))
    sides = sorted({(one.task, one.side) for one in drawn})
    of_side = [plain([one.text for one in drawn if (one.task, one.side) == side], side[1], side[0]) for side in sides]
    if not of_side:
        raise ValueError(
            f"final.forms: {', '.join(stored)} learn from train texts, and there are none; leave them out of `forms`"
        )
    for name, form in stored.items():
        try:
            form.fit(np.concatenate(of_side))
        except ValueError as error:
            raise ValueError(f"final.forms.{name}: {error}") from error


def _stored_items(
    evaluators: Mapping[str, Any], form: Any, encode: Encode, plain: Encode, test: Sequence[Collection]
) -> dict[str, Any]:
    """As `_items`; questions are not stored, and a form that searches in its own way does."""

    def asked(texts: Sequence[str], side: str, task: str) -> np.ndarray:
        return form.query(plain(texts, side, task)) if side == "query" else encode(texts, side, task)

    found = _items(evaluators, encode, [c for c in test if not isinstance(c, Judged)])
    for c in test:
        evaluator = evaluators[kind_of(c).name]
        if isinstance(c, Judged) and hasattr(form, "search") and hasattr(evaluator, "judge"):
            found[c.name] = {**identity(c), **grouped(evaluator.judge(form.search(plain, c.task), c)[1], c)}
        elif isinstance(c, Judged):
            found |= _items(evaluators, asked, [c])
    return found


def _remembering(encode: Encode, encoder: Encoder) -> Encode:
    """``encode``, each text with the same prompt once."""
    known: dict[tuple[str, str], np.ndarray] = {}

    def remembered(texts: Sequence[str], side: str, task: str) -> np.ndarray:
        prompt = encoder.reading(task, side)
        new = [text for text in dict.fromkeys(texts) if (prompt, text) not in known]
        if new:
            known.update({(prompt, text): vector for text, vector in zip(new, encode(new, side, task), strict=True)})
        return np.stack([known[prompt, text] for text in texts])

    return remembered


def _equal(name: str, form: Any, encode: Encode, plain: Encode, test: Sequence[Collection], number: int) -> float:
    """`_farthest`; ValueError where that is more than the form allows."""
    found = _farthest(encode, plain, test, number)
    if not found <= form.tolerance:
        raise ValueError(
            f"final.forms.{name}: its vectors differ from the model's by {found:.1e}, more than {form.tolerance:.1e}; set it to null in "
            f"params.yaml to go on without it, and report the encoder"
        )
    return found


def _farthest(encode: Encode, plain: Encode, test: Sequence[Collection], number: int) -> float:
    """The largest difference of a number of a vector, over texts spread evenly over those of each collection."""
    found = 0.0
    for c in test:
        texts = c.every_text()
        texts = texts[:: -(-len(texts) // number)]
        found = max(found, float(np.abs(encode(texts, "query", c.task) - plain(texts, "query", c.task)).max()))
    return found
