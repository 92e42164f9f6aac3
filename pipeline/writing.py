"""What a file or folder needs to appear whole: one writer at a time, and bytes on the disk before the name."""

import errno
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(target: Path, *, wait: bool = False) -> Iterator[None]:
    """Nobody else makes ``target`` within the block. ValueError says who does, unless we ``wait`` for them.

    The lock is the system's own, on the hidden file `.<name>.writer`: it ends with its process, however that ends.
    """
    file = target.parent / f".{target.name}.writer"
    descriptor = _locked(file, target, wait)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, _who().encode("utf-8", "replace"), 0)
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is ours: whoever opened it meanwhile sees that it has no name
        os.close(descriptor)


@contextmanager
def called(target: Path) -> Iterator[None]:
    """An error of the system that names no file, as those of a full disk do, names ``target``."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.strerror is not None:
            error.filename = str(target)
        raise


def _locked(file: Path, target: Path, wait: bool) -> int:
    """The descriptor that holds the lock, until it is closed."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                return descriptor  # a file system without locks
            who = os.pread(descriptor, 1000, 0).decode("utf-8", "replace") or "another process"
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise
            raise ValueError(f"{target} is being made by {who}; wait for its end, or stop it") from None
        if _named(file, descriptor):
            return descriptor
        os.close(descriptor)


def _named(file: Path, descriptor: int) -> bool:
    """Whether ``descriptor`` still is the file of that name: its last holder removes it."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _who() -> str:
    command = " ".join(sys.argv[1:] if sys.argv[0].endswith("__main__.py") else sys.argv)
    return f"process {os.getpid()} on {socket.gethostname()} ({command[:200]})"


def stored(path: Path) -> None:
    """The bytes of a file, or of all files of a folder, are on the disk when this returns: a rename alone may get there before them."""
    for one in [*path.rglob("*"), path] if path.is_dir() else [path]:
        if one.is_symlink():
            continue
        _synced(one)


def replaced(partial: Path, target: Path) -> None:
    """``partial`` takes the name ``target``, on the disk too."""
    partial.replace(target)
    _synced(target.parent)


def _synced(path: Path) -> None:
    """Some file systems know no such thing of folders; there a name may be lost with the power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
