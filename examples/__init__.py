"""Reference applications that Crossfade moves."""
