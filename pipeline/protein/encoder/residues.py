"""One token a residue: a tokenizer of one kind for every protein language model, with the model's own ids.

``MKV:GHT`` are two chains and become ``<cls> M K V <eos> G H T <eos>`` as ESM reads them, or ``M K V </s> G H T </s>`` as ProtT5 and
Ankh do. A residue letter that the model has no token for is X, an unknown residue, as ProtT5 asks for U, Z, O and B.
"""

import string
from collections.abc import Mapping

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

CHAINS = ":"  # between the chains of a side
# In the order of ESM's own vocabulary (Lin et al. 2023, doi:10.1126/science.ade2574).
ESM = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
SPECIAL = {"cls": "<cls>", "pad": "<pad>", "eos": "<eos>", "unk": "<unk>", "mask": "<mask>"}


def residue_tokenizer(vocabulary: Mapping[str, int], special: Mapping[str, str]) -> PreTrainedTokenizerFast:
    """``vocabulary``: ids of letters and special tokens. ``special``: tokens by role; pad, eos and unk at least."""
    letters = {token for token in vocabulary if len(token) == 1}
    if "X" not in letters:
        raise ValueError("the tokenizer has no token for X, an unknown residue; expected a protein language model")
    eos, first = special["eos"], special.get("cls")
    absent = "".join(letter for letter in string.ascii_uppercase if letter not in letters)
    steps = [normalizers.Replace(Regex(r"\s+"), ""), normalizers.Replace(CHAINS, eos)]
    steps += [normalizers.Replace(Regex(f"[{absent}]"), "X")] if absent else []
    tokenizer = Tokenizer(models.WordLevel(dict(vocabulary), unk_token=special["unk"]))
    tokenizer.normalizer = normalizers.Sequence(steps)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f"{eos}|."), behavior="isolated")  # pyright: ignore[reportAttributeAccessIssue]
    ends = [(token, vocabulary[token]) for token in (first, eos) if token]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=f"{first} $A {eos}" if first else f"$A {eos}", special_tokens=ends
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{f"{role}_token": token for role, token in special.items()})


def esm_tokenizer() -> PreTrainedTokenizerFast:
    return residue_tokenizer({token: i for i, token in enumerate(ESM)}, SPECIAL)


def as_residues(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerFast:
    """The ids of a published tokenizer, whatever its kind: letters stand there as ``M`` or, in sentencepiece, as ``▁M``."""
    known = tokenizer.get_vocab()
    letters = {letter: known.get(f"▁{letter}", known.get(letter)) for letter in string.ascii_uppercase}
    special = {role: getattr(tokenizer, f"{role}_token") for role in SPECIAL}
    special = {role: token for role, token in special.items() if token is not None}
    if absent := sorted({"pad", "eos", "unk"} - special.keys()):
        raise ValueError(
            f"the tokenizer names no {', '.join(absent)} token; expected a protein language model (ESM2, ProtT5, Ankh)"
        )
    vocabulary = {
        letter: number for letter, number in letters.items() if number is not None and number != tokenizer.unk_token_id
    }
    vocabulary |= {token: int(tokenizer.convert_tokens_to_ids(token)) for token in special.values()}  # pyright: ignore[reportArgumentType]
    return residue_tokenizer(vocabulary, special)
