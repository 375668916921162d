"""The base of everything that a run carries through the state database as JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Carried(BaseModel):
    """Immutable, and written as plain JSON by ``as_json``.

    A field that this version does not know is ignored: workers of two versions may share a run.  What a version
    adds has a default, so that it reads what an older one wrote.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    def as_json(self) -> dict[str, Any]:
        """The JSON form; ``model_validate`` gives an equal value."""
        return self.model_dump(mode="json")
