"""The `darkparse` command, and `python -m darkparse`."""

import signal
import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it with "Stopped." and status 130, SIGTERM with 143, both after cleaning up."""
    received = list[int]()

    def stop(number: int, frame: object) -> None:
        # Not KeyboardInterrupt: click prints an empty line for it, and CPython kills itself by the signal if it came
        # while the text of a dataclass was executed (pythonrun.c run_eval_code_obj).
        received.append(number)
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # a shell ignores Ctrl-C for what it starts in the background
            signal.signal(number, stop)
    try:
        from darkparse.cli import main as run

        run()
    except BaseException:
        if not received:  # a module that is being imported may raise another error than SystemExit
            raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left but the interpreter's own end
    if received:
        if received[0] == signal.SIGINT:
            sys.stderr.write("Stopped.\n")
        sys.exit(128 + received[0])


if __name__ == "__main__":
    main()
