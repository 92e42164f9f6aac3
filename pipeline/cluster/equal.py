"""Only equal texts are near: the fastest choice, and what exact curation needs."""

from collections.abc import Sequence

import numpy as np

from pipeline.corpus.near import Near


class Equal:
    def __call__(self, texts: Sequence[str]) -> Near:
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        none = np.zeros(0, np.int64)
        return Near(np.array([number[text] for text in texts], dtype=np.int64), none, none, np.zeros(0))
