"""What Ctrl-C and SIGTERM do; importing it sets that. What `__main__` imports first, so it imports next to nothing."""

from __future__ import annotations

import atexit
import os
import signal
import sys

TYPE_CHECKING = False  # typing's own is not worth the time that typing takes before Ctrl-C has a handler
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import NoReturn

STATUS = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells say it."""


class Stopped(BaseException):
    """Ctrl-C. No KeyboardInterrupt, which others answer in their own ways: click prints an empty line, and CPython ends
    by the signal where one came within the text that a dataclass executes (pythonrun.c run_eval_code_obj)."""


class Stop:
    """Ctrl-C as `Stopped`, and a note of it: what is being imported may make another error of it, or none."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        self.came = True
        raise Stopped

    def unraisable(self, problem: sys.UnraisableHookArgs) -> None:
        """Ctrl-C within a destructor or a callback of C, where Python cannot raise it: once more, a little later."""
        if not issubclass(problem.exc_type, Stopped):
            sys.__unraisablehook__(problem)
        elif sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0.01)

    def listen(self) -> None:
        sys.excepthook = self.unhandled
        signal.signal(signal.SIGINT, self)
        sys.unraisablehook = self.unraisable
        # The interpreter's own end gives a signal back to the system, which would kill where all is done.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        if sys.platform != "win32":
            signal.signal(signal.SIGALRM, self)
            atexit.register(signal.signal, signal.SIGALRM, signal.SIG_IGN)

    def unhandled(self, kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
        """Ctrl-C after this import and before `main`, in what the installer wrote to call it."""
        if not issubclass(kind, Stopped):
            sys.__excepthook__(kind, problem, trace)
            return
        sys.stderr.write("Stopped.\n")
        sys.stderr.flush()
        os._exit(STATUS)  # an interpreter that ends with an exception takes another exit status

    def end(self) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write("Stopped.\n")
        sys.exit(STATUS)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM as an orderly exit, so that nothing half written stays."""
    sys.exit(128 + number)


stop = Stop()
signal.signal(signal.SIGTERM, _terminated)
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell that has it ignored is right
    stop.listen()
