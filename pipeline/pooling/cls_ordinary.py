"""The first token's vector beside the mean of all tokens: what the two decoders of DupMAE train, in one vector of twice the width.

It is sentence-transformers' own pooling. Price: twice the bytes of an index; a projection behind it (`dense`) makes it narrower.

Source: Xiao et al. 2022 (DupMAE), arXiv:2211.08769, section 3.3. Ours: the ordinary tokens count by their mean; the source keeps the
highest of their scores over the vocabulary, by a reduction that is not known to us.
"""

from sentence_transformers.sentence_transformer.modules import Pooling


def cls_ordinary(width: int) -> Pooling:
    return Pooling(width, ("cls", "mean"))
