"""Errors that the system raises, whoever hands them on: the file, and what can be done."""

import errno
import re

SPACE = "free some space; what was there before is whole, and the same command goes on"
MEMORY = "lower runtime.batch_tokens or chunk_tokens, or run where there is more"
REMEDIES = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EROFS: "run in a folder that may be written to",
    errno.EACCES: "change its rights, or run as the user it belongs to",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
}
# What libraries make of them: safetensors in Rust's words, torch and Arrow in C++'s.
WORDS = {
    r"No space left on device|os error 28": SPACE,
    r"Disk quota exceeded|os error 122": SPACE,
    r"File too large|os error 27": REMEDIES[errno.EFBIG],
    r"Read-only file system|os error 30": REMEDIES[errno.EROFS],
    r"PytorchStreamWriter failed writing|unexpected pos \d+ vs": f"the disk may be full: {SPACE}",
    r"not enough memory|can.t allocate memory|Cannot allocate memory|out of memory|bad_alloc": MEMORY,
}


def told(error: BaseException) -> str | None:
    """The message for whoever runs a stage; None of an error in the code, whose traceback is wanted."""
    if isinstance(error, OSError) and error.strerror is not None:
        remedy = REMEDIES.get(error.errno or 0, "see whether the file is there and whole")
        return f"{error.filename or 'a file'}: {error.strerror}; {remedy}"
    words = str(error)
    remedy = next((remedy for pattern, remedy in WORDS.items() if re.search(pattern, words)), None)
    if type(error).__name__ == "PanicException":  # of a library in Rust, and no Exception
        return f"a compiled library gave up ({words.splitlines()[0][:200]}); is a tokenizer.json damaged? Take that of these weights"
    if isinstance(error, MemoryError):
        return f"no memory is left{f' ({words})' if words else ''}; {MEMORY}"
    if isinstance(error, ValueError) or (isinstance(error, OSError) and remedy is None):
        return words
    return None if remedy is None else f"{words.splitlines()[0]}; {remedy}"
