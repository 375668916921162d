"""Durable execution: the only part of Crossfade that imports DBOS, and nobody imports it at start-up.

`Engine` starts runs of plans, tells where they stand, takes people's answers, and works: `Engine.work` makes this
process a worker that does whatever is ready, also what a dead worker left behind.
"""

from crossfade.engine.engine import Engine, Notice, Stranded, Summary

__all__ = ["Engine", "Notice", "Stranded", "Summary"]
