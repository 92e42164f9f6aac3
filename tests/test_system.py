"""Errors of the system are messages, whichever library hands them on; errors of the code stay tracebacks."""

import errno

import pyarrow as pa
import pytest
import torch
from safetensors import SafetensorError

from pipeline.__main__ import main
from pipeline.system import MEMORY, SPACE, told

FULL = [
    OSError(errno.ENOSPC, "No space left on device", "data/raw"),
    OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    SafetensorError(
        'Error while serializing: I/O error: Os { code: 28, kind: StorageFull, message: "No space left on device" }'
    ),
    RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 22"),
    RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
]
LITTLE = [
    MemoryError(),
    MemoryError("Unable to allocate 8.00 GiB for an array"),
    pa.ArrowMemoryError("malloc of size 1 failed"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8589934592 bytes."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
]


@pytest.mark.parametrize("error", FULL + LITTLE, ids=str)
def test_a_full_disk_and_no_memory_are_told_with_what_to_do(error):
    assert (SPACE if error in FULL else MEMORY) in told(error)
    assert "\n" not in told(error)


def test_a_fault_of_the_code_stays_a_traceback(monkeypatch, tmp_path):
    def fails(_):
        raise error

    monkeypatch.setattr("pipeline.stage.compose.run", fails)
    monkeypatch.chdir(tmp_path)
    for error in (KeyError("a"), RuntimeError("shapes do not fit"), AssertionError("no")):
        assert told(error) is None
        with pytest.raises(type(error)):
            main(["compose"])
    error = FULL[2]
    assert main(["compose"]) == 1
    assert told(ValueError("a text")) == "a text"


class PanicException(BaseException):
    pass


def test_a_panic_of_a_compiled_library_is_told_and_an_exit_is_none():
    assert "a compiled library gave up (no entry); is a tokenizer.json damaged" in told(PanicException("no entry\nat 3"))
    assert told(SystemExit(2)) is None
    assert told(KeyboardInterrupt()) is None
