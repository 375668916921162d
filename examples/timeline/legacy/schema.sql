CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    year INTEGER NOT NULL,
    category TEXT NOT NULL,
    difficulty TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX IF NOT EXISTS events_by_category ON events (category, difficulty);

CREATE TABLE IF NOT EXISTS game_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    player_name TEXT NOT NULL,
    card_count INTEGER NOT NULL,
    categories TEXT NOT NULL DEFAULT '[]',
    difficulty TEXT NOT NULL DEFAULT 'mixed',
    deck TEXT NOT NULL,
    start_event_id INTEGER NOT NULL REFERENCES events (id),
    started_at DATETIME NOT NULL,
    completed_at DATETIME,
    finished BOOLEAN NOT NULL DEFAULT 0 CHECK (finished IN (0, 1)),
    score INTEGER NOT NULL DEFAULT 0,
    streak INTEGER NOT NULL DEFAULT 0,
    best_streak INTEGER NOT NULL DEFAULT 0,
    move_count INTEGER NOT NULL DEFAULT 0,
    correct_count INTEGER NOT NULL DEFAULT 0,
    accuracy REAL
);
CREATE INDEX IF NOT EXISTS game_sessions_by_score
    ON game_sessions (finished, score DESC, completed_at, id);
CREATE INDEX IF NOT EXISTS game_sessions_by_start ON game_sessions (started_at, id);

CREATE TABLE IF NOT EXISTS moves (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL REFERENCES game_sessions (id) ON DELETE CASCADE,
    event_id INTEGER NOT NULL REFERENCES events (id),
    position INTEGER NOT NULL,
    correct_position INTEGER NOT NULL,
    correct BOOLEAN NOT NULL CHECK (correct IN (0, 1)),
    points INTEGER NOT NULL DEFAULT 0,
    score_after INTEGER NOT NULL,
    streak_after INTEGER NOT NULL,
    response_ms INTEGER,
    idempotency_key TEXT NOT NULL,
    placed_at DATETIME NOT NULL,
    UNIQUE (session_id, idempotency_key)
);
CREATE INDEX IF NOT EXISTS moves_by_event ON moves (event_id);
