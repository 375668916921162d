"""The dashboard: one live page that shows a move and its plan, and runs the same verbs as the command line."""
