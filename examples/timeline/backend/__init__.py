"""The game's new home: FastAPI on PostgreSQL, SQLAlchemy 2 and Alembic."""
