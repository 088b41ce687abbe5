"""`python -m darkparse`."""

from darkparse.cli import main

main()
