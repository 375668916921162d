"""``python -m crossfade``: the same as the ``crossfade`` command."""

from crossfade.cli import main

main()
