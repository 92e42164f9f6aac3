"""Signals that ask the program to stop: Ctrl-C, SIGTERM, and SIGUSR1, which Slurm can send ahead of the end of a job.

Such a signal raises `Stopped` wherever the program stands. Inside `put_off` the first one is only noted: a training ends its step, saves,
and then raises it itself. A step that takes longer than `PATIENCE_SECONDS` is given up.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
PATIENCE_SECONDS = 20.0
GO_ON = "nothing half-made is left; the same command does it again, a training from its last checkpoint"
_PARENT_DIES = 1  # PR_SET_PDEATHSIG of Linux
LEFT_ALONE = (
    signal.SIGUSR2
)  # which the system sends then; not SIGTERM, of which a second one would end a training without saving

_state: dict[str, Any] = {"put_off": False, "asked": None, "process": None, "leaving": False}


class Stopped(BaseException):
    """``signum`` asked for it; ``told`` says how far the work had come. No Exception: nothing on the way takes it for a fault."""

    def __init__(self, signum: int, told: str = GO_ON) -> None:
        self.signum = signum
        self.told = told
        super().__init__(f"stopped by {'Ctrl-C' if signum == signal.SIGINT else signal.Signals(signum).name}: {told}")

    @property
    def status(self) -> int:
        """The exit status that a shell gives a program ended by this signal."""
        return 128 + self.signum


def listen() -> None:
    """Of a program, at its start. A signal that whoever started it ignores (``nohup``) is still ignored.

    A stage whose DVC is killed gets SIGTERM: it would go on without anybody waiting for it, beside the one that is started next.
    """
    _state["process"] = os.getpid()
    sys.unraisablehook = _unraisable
    take_over()
    if "DVC_STAGE" in os.environ and sys.platform == "linux":
        signal.signal(LEFT_ALONE, _left_alone)
        ctypes.CDLL(None).prctl(_PARENT_DIES, LEFT_ALONE)


def take_over() -> None:
    """Of a program that listens, after a library has set handlers of its own."""
    if _state["process"] != os.getpid():
        return
    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, _heard)
    signal.signal(signal.SIGALRM, _given_up)


def asked() -> int | None:
    """The signal that asked for a stop inside `put_off`; None if none has."""
    return _state["asked"]


@contextlib.contextmanager
def put_off() -> Iterator[None]:
    """Within, whoever asks `asked` says where it stops. What was asked for at the end of one training stops the next before it begins."""
    if _state["asked"] is not None:
        raise Stopped(_state["asked"])
    _state["put_off"] = True
    try:
        yield
    finally:
        _state["put_off"] = False
        if _state["asked"] is not None and _state["process"] is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def workers() -> Iterator[None]:
    """Processes that are started within do not hear Ctrl-C, which reaches all of a terminal: who started them ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def step_ended() -> None:
    """The step under way has ended, so nothing is given up any more: what follows may take its time."""
    if _state["asked"] is not None and _state["process"] is not None:
        signal.setitimer(signal.ITIMER_REAL, 0)


def leave(stopped: Stopped) -> int:
    """The exit status, and nothing more is heard: who is leaving is not asked again."""
    _state["asked"] = None
    for one in (*SIGNALS, LEFT_ALONE) if _state["process"] == os.getpid() else ():
        signal.signal(one, signal.SIG_IGN)
    return stopped.status


def _heard(signum: int, frame: FrameType | None) -> None:
    if os.getpid() != _state["process"]:  # a fork of the program: it leaves without a word
        os._exit(128 + signum)
    if _state["put_off"] and _state["asked"] is None:
        _state["asked"] = signum
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
        return
    _state["leaving"] = True
    raise Stopped(signum)


def _left_alone(signum: int, frame: FrameType | None) -> None:
    """Who started the stage is gone. Whoever was asked before is on the way out already."""
    if _state["asked"] is None and not _state["leaving"]:
        _heard(signal.SIGTERM, frame)


def _given_up(signum: int, frame: FrameType | None) -> None:
    if _state["asked"] is not None:
        raise Stopped(
            _state["asked"],
            f"the step under way took more than {PATIENCE_SECONDS:.0f} s and is given up; the same command goes on from the last "
            "checkpoint",
        )


def _unraisable(hooked: Any) -> None:
    """Where Python would only print what a handler raised, as in a finaliser: the program ends there and then."""
    if isinstance(hooked.exc_value, Stopped):
        print(f"\n{hooked.exc_value}", file=sys.stderr, flush=True)
        os._exit(hooked.exc_value.status)
    sys.__unraisablehook__(hooked)
