"""A store on a database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crossfade.stores.postgres import PostgresStore


@pytest.fixture
def store(postgres_url: str) -> Iterator[PostgresStore]:
    made = PostgresStore(postgres_url)
    yield made
    made.close()
