"""Migration plans as teams write them in Markdown: read, and written back in place."""
