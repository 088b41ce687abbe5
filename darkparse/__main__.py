"""The `darkparse` command, and `python -m darkparse`: sets what Ctrl-C does, then imports the rest."""

import os
import sys

try:
    from darkparse._utils.signals import stop
except KeyboardInterrupt:  # as it was about to be set
    sys.stderr.write("Stopped.\n")
    os._exit(130)


def main() -> None:
    """Run the command line; Ctrl-C at any time ends in "Stopped." and exit status 130."""
    try:
        from darkparse.cli import main as run

        run()
    except BaseException:
        if stop.came:
            stop.end()
        raise


if __name__ == "__main__":
    main()
