"""Crossfade moves a live application to its new home and back."""

__version__ = "0.1.0"
