"""The game as it has run for years: Flask on SQLite, plain SQL."""
