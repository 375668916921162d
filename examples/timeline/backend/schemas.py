"""What goes over the wire: requests that are checked, answers, and their examples."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from examples.timeline import rules


def api_time(moment: datetime) -> str:
    """UTC with milliseconds: ``2024-05-01T12:34:56.789Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_canonical_uuid(text: str) -> bool:
    """Lower case with hyphens, the only spelling that the game knows."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _uuid(text: str) -> str:
    if not is_canonical_uuid(text):
        raise ValueError("not a UUID")
    return text


def _text(least: int, most: int, *, strip: bool = True) -> AfterValidator:
    def check(text: str) -> str:
        text = text.strip() if strip else text
        if not least <= len(text) <= most or not rules.is_storable(text):
            # never the text itself: pydantic cannot write half of a surrogate pair into its message
            raise ValueError("text is too short, too long or not storable")
        return text

    return AfterValidator(check)


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError(names)
    return names


def _not_zero(year: int) -> int:
    if year == 0:
        raise ValueError(year)
    return year


Category = Literal["culture", "exploration", "nature", "politics", "science", "sport", "technology", "war"]
Difficulty = Literal["easy", "medium", "hard"]
DifficultyOrMixed = Literal["easy", "medium", "hard", "mixed"]
ApiTime = Annotated[datetime, PlainSerializer(api_time, return_type=str)]
Year = Annotated[int, Field(strict=True, ge=-5000, le=2100), AfterValidator(_not_zero)]
Title = Annotated[str, _text(1, 120)]
Description = Annotated[str, _text(0, 500)]
Source = Annotated[str, _text(1, 40)]

_EVENT = {
    "id": 17,
    "title": "Magna Carta",
    "year": 1215,
    "category": "politics",
    "difficulty": "easy",
    "description": "English barons make King John seal a charter of liberties at Runnymede.",
}
_SESSION = {
    "id": "5b0c1f4e-6f0d-4d0a-9a39-0b6f1c1c9f10",
    "player_name": "Ada",
    "card_count": 8,
    "categories": ["science", "culture"],
    "difficulty": "mixed",
    "started_at": "2024-05-01T12:34:56.789Z",
    "completed_at": None,
    "finished": False,
    "score": 250,
    "streak": 2,
    "best_streak": 2,
    "move_count": 2,
    "correct_count": 2,
    "accuracy": 1.0,
}


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(from_attributes=True, json_schema_extra={"examples": [value]})


class FieldProblem(BaseModel):
    field: str
    message: str


class ErrorInside(BaseModel):
    code: str
    message: str
    details: list[FieldProblem]


class ErrorBody(BaseModel):
    """The body of every error."""

    model_config = _example(
        {
            "error": {
                "code": "validation_error",
                "message": "The request has fields that are not valid.",
                "details": [{"field": "card_count", "message": rules.PROBLEMS["card_count"]}],
            }
        }
    )
    error: ErrorInside


class Health(BaseModel):
    model_config = _example({"status": "ok", "database": "reachable"})
    status: Literal["ok", "unavailable"]
    database: Literal["reachable", "unreachable"]


class Card(BaseModel):
    """An event as it is dealt: without its year and the description that may give it away."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str
    category: str
    difficulty: str


class Event(BaseModel):
    model_config = _example(_EVENT)
    id: int
    title: str
    year: int
    category: str
    difficulty: str
    description: str


class EventPage(BaseModel):
    model_config = _example({"items": [_EVENT], "next_cursor": "17"})
    items: list[Event]
    next_cursor: str | None


class CategoryCount(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    name: str
    events: int


class Categories(BaseModel):
    model_config = _example({"items": [{"name": "science", "events": 41}]})
    items: list[CategoryCount]


class NewSession(BaseModel):
    """The settings of a game.  A client that sends its own ``id`` may safely send the request again."""

    model_config = _example(
        {"player_name": "Ada", "card_count": 8, "categories": ["science", "culture"], "difficulty": "mixed"}
    )
    id: Annotated[str, AfterValidator(_uuid)] | None = None
    player_name: Annotated[str, _text(1, rules.NAME_LONGEST)]
    card_count: int = Field(rules.CARDS_DEFAULT, strict=True, ge=rules.CARDS_LEAST, le=rules.CARDS_MOST)
    categories: Annotated[list[Category], AfterValidator(_distinct)] = Field(default_factory=list)
    difficulty: DifficultyOrMixed = "mixed"


class Session(BaseModel):
    model_config = _example(_SESSION)
    id: UUID
    player_name: str
    card_count: int
    categories: list[str]
    difficulty: str
    started_at: ApiTime
    completed_at: ApiTime | None
    finished: bool
    score: int
    streak: int
    best_streak: int
    move_count: int
    correct_count: int
    accuracy: float | None


class SessionDetail(Session):
    """A session with what lies on the table and what is in the hand."""

    model_config = _example(_SESSION | {"timeline": [_EVENT], "cards": []})
    timeline: list[Event]
    cards: list[Card]


class SessionPage(BaseModel):
    model_config = _example({"items": [_SESSION], "next_cursor": None})
    items: list[Session]
    next_cursor: str | None


class NewMove(BaseModel):
    """Where the player puts a card.  The same idempotency key is never counted twice."""

    model_config = _example(
        {"event_id": 17, "position": 1, "response_ms": 4200, "idempotency_key": "0d9f2b51-4f3e-4f6b"}
    )
    event_id: int = Field(strict=True, ge=1, le=2**63 - 1)
    position: int = Field(strict=True, ge=0, le=rules.CARDS_MOST)
    response_ms: int | None = Field(None, strict=True, ge=0, le=rules.RESPONSE_MS_MOST)
    idempotency_key: Annotated[str, _text(rules.KEY_SHORTEST, rules.KEY_LONGEST, strip=False)]


class Move(BaseModel):
    model_config = _example(
        {
            "id": 1,
            "session_id": _SESSION["id"],
            "event_id": 17,
            "position": 1,
            "correct_position": 1,
            "correct": True,
            "points": 120,
            "score": 250,
            "streak": 2,
            "response_ms": 4200,
            "idempotency_key": "0d9f2b51-4f3e-4f6b",
            "placed_at": "2024-05-01T12:35:10.004Z",
            "event": _EVENT,
        }
    )
    id: int
    session_id: UUID
    event_id: int
    position: int
    correct_position: int
    correct: bool
    points: int
    score: int
    streak: int
    response_ms: int | None
    idempotency_key: str
    placed_at: ApiTime
    event: Event


class DifficultyFigures(BaseModel):
    difficulty: str
    sessions: int
    finished_sessions: int
    accuracy: float | None
    average_score: float | None


class Statistics(BaseModel):
    """Totals over all sessions; averages of scores are over finished sessions."""

    sessions: int
    finished_sessions: int
    moves: int
    correct_moves: int
    accuracy: float | None
    average_score: float | None
    best_score: int
    by_difficulty: list[DifficultyFigures]


class Leader(BaseModel):
    rank: int
    session_id: UUID
    player_name: str
    score: int
    accuracy: float | None
    card_count: int
    difficulty: str
    completed_at: ApiTime


class Leaderboard(BaseModel):
    items: list[Leader]


class DayFigures(BaseModel):
    day: date
    started: int
    finished: int


class AccuracyFigures(BaseModel):
    """Moves with events of one category and difficulty; the error is in places on the timeline."""

    category: str
    difficulty: str
    moves: int
    correct: int
    accuracy: float
    mean_placement_error: float


class Analytics(BaseModel):
    """The last ``days`` days: games a day (UTC), accuracy by kind of event, and how far off moves were."""

    days: int
    games_per_day: list[DayFigures]
    accuracy: list[AccuracyFigures]
    moves: int
    mean_placement_error: float | None
    mean_response_ms: float | None


class NewEvent(BaseModel):
    model_config = _example({name: _EVENT[name] for name in _EVENT if name != "id"})
    title: Title
    year: Year
    category: Category
    difficulty: Difficulty
    description: Description = ""
    source: Source = "admin"


class EventChange(BaseModel):
    """The fields to change; the others stay."""

    model_config = _example({"difficulty": "hard"})
    title: Title | None = None
    year: Year | None = None
    category: Category | None = None
    difficulty: Difficulty | None = None
    description: Description | None = None
    source: Source | None = None


class AdminEvent(Event):
    model_config = _example(_EVENT | {"created_at": "2024-05-01T12:34:56.789Z", "source": "admin"})
    created_at: ApiTime
    source: str


class AdminEventPage(BaseModel):
    items: list[AdminEvent]
    next_cursor: str | None
