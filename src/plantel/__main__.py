"""`python -m plantel`: the same as the `plantel` program."""

from plantel.cli import main

main()
