// Talks to the game's server. A request is repeated only when repeating it cannot do anything twice:
// reads, and writes that carry a key by which the server knows them again.

const TIMEOUT_MS = 10_000;
const ATTEMPTS = 3;
const PAUSE_MS = 400;
const PASSING = new Set([500, 502, 503, 504]);

export class ApiError extends Error {
  /** `code` is the server's, or `unreachable` / `timeout`; `details` is a list of `{field, message}`. */
  constructor(code, message, { status = 0, details = [] } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.details = details;
  }
}

/** A random UUID, also on pages without HTTPS, where browsers hide `crypto.randomUUID`. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [8, 12, 16, 20].reduceRight((text, at) => `${text.slice(0, at)}-${text.slice(at)}`, hex);
}

export const api = {
  categories: () => get("/api/categories"),
  statistics: () => get("/api/statistics"),
  leaderboard: (difficulty) => get(`/api/leaderboard?limit=20${difficulty ? `&difficulty=${difficulty}` : ""}`),
  session: (id) => get(`/api/game-sessions/${encodeURIComponent(id)}`),
  /** `settings.id` is the key: the caller makes it once and keeps it while it tries. */
  create: (settings) => send("POST", "/api/game-sessions", settings, { repeatable: Boolean(settings.id) }),
  move: (id, move) =>
    send("POST", `/api/game-sessions/${id}/moves`, move, { repeatable: Boolean(move.idempotency_key) }),
  complete: (id) => send("POST", `/api/game-sessions/${id}/complete`, {}, { repeatable: true }),
};

let lastServer = "";

/** Which app gave the last answer. */
export function servedBy() {
  return lastServer;
}

function get(path) {
  return send("GET", path, undefined, { repeatable: true });
}

async function send(method, path, body, { repeatable }) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(method, path, body);
    } catch (error) {
      const passing = error.status === 0 || PASSING.has(error.status);
      if (!repeatable || !passing || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? PAUSE_MS * 2 ** (attempt - 1)));
    }
  }
}

async function once(method, path, body) {
  const stop = new AbortController();
  const alarm = setTimeout(() => stop.abort(), TIMEOUT_MS);
  try {
    const answer = await fetch(path, {
      method,
      signal: stop.signal,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    lastServer = answer.headers.get("X-Served-By") ?? "";
    const content = await answer.json().catch(() => null);
    if (answer.ok && content !== null) return content;
    throw refusal(answer, content);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (stop.signal.aborted) throw new ApiError("timeout", "The server takes too long to answer.");
    throw new ApiError("unreachable", "The server cannot be reached.");
  } finally {
    clearTimeout(alarm);
  }
}

function refusal(answer, content) {
  const told = content?.error ?? {};
  const message = told.message ?? "The server answered in a way that this page does not understand.";
  const error = new ApiError(told.code ?? "unexpected", message, { status: answer.status, details: told.details });
  const seconds = Number(answer.headers.get("Retry-After"));
  if (seconds > 0 && seconds <= 10) error.retryAfterMs = seconds * 1000;
  return error;
}
