// The page: settings, one game at a time, leaderboard and statistics.

import { api, newKey, servedBy } from "/api.js";
import { drawCard, drawLeaders, drawStatistics, eventItem, make, number, percent, slotItem, year } from "/view.js";

const KEPT = "timeline.session";
const KEPT_NAME = "timeline.player";

const byId = (id) => document.getElementById(id);
let game = null; // {id, timeline, cards, verdicts, score, streak, shownAt, latest}
let lastSession = null;
let busy = false;

/** Run something that talks to the server; a failure is shown with a button that runs it again. */
async function attempt(work) {
  if (busy) return;
  busy = true;
  document.querySelectorAll(".slot, .primary").forEach((button) => (button.disabled = true));
  byId("error").hidden = true;
  let followUp = null;
  try {
    followUp = await work();
  } catch (error) {
    showError(error, work);
  } finally {
    busy = false;
    document.querySelectorAll(".slot, .primary").forEach((button) => (button.disabled = false));
    const server = servedBy();
    byId("served-by").textContent = server && `answered by ${server}`;
  }
  if (typeof followUp === "function") await followUp();
}

function showError(error, work) {
  const details = error.details ?? [];
  const text = details.length
    ? details.map((detail) => `${detail.field.replace("_", " ")} ${detail.message}`).join("; ")
    : error.message;
  byId("error-text").textContent = text;
  const again = error.code && !(error.status >= 400 && error.status < 500);
  byId("error-retry").hidden = !again;
  byId("error-retry").onclick = () => attempt(work);
  byId("error").hidden = false;
  if (!error.code) console.error(error);
}

function say(text) {
  byId("live").textContent = text;
}

// --- settings ---------------------------------------------------------------

function settings() {
  const form = byId("settings");
  return {
    id: newKey(),
    player_name: byId("player-name").value.trim(),
    card_count: Number(byId("card-count").value),
    categories: [...form.querySelectorAll("input[name=category]:checked")].map((box) => box.value),
    difficulty: form.querySelector("input[name=difficulty]:checked").value,
  };
}

function start(submitted) {
  submitted.preventDefault();
  const wanted = settings();
  byId("name-problem").hidden = wanted.player_name !== "";
  byId("player-name").setAttribute("aria-invalid", String(wanted.player_name === ""));
  if (!wanted.player_name) {
    byId("player-name").focus();
    return;
  }
  localStorage.setItem(KEPT_NAME, wanted.player_name);
  attempt(async () => take(await api.create(wanted)));
}

async function loadCategories() {
  const { items } = await api.categories();
  byId("categories").replaceChildren(
    ...items.map(({ name, events }) =>
      make(
        "label",
        { class: "chip" },
        make("input", { type: "checkbox", name: "category", value: name, "data-testid": `category-${name}` }),
        make("span", {}, `${name[0].toUpperCase()}${name.slice(1)} `, make("small", {}, String(events))),
      ),
    ),
  );
}

// --- the game ---------------------------------------------------------------

function take(session) {
  sessionStorage.setItem(KEPT, session.id);
  game = {
    id: session.id,
    timeline: session.timeline,
    cards: session.cards,
    verdicts: new Map(),
    score: session.score,
    streak: session.streak,
    latest: null,
    shownAt: performance.now(),
  };
  show("game");
  byId("feedback").hidden = true;
  draw();
  if (!game.cards.length) return finish;
  byId("current").focus({ preventScroll: true });
  say(`First card to place: ${game.cards[0].title}.`);
  return null;
}

function draw() {
  byId("score").textContent = number(game.score);
  byId("streak").textContent = number(game.streak);
  byId("left").textContent = String(game.cards.length);
  const placing = game.cards.length > 0;
  byId("current").hidden = !placing;
  if (placing) drawCard(byId("current"), game.cards[0]);
  const items = [];
  game.timeline.forEach((event, index) => {
    if (placing) items.push(slotItem(index, game.timeline[index - 1], event, place));
    items.push(eventItem(event, { verdict: game.verdicts.get(event.id), latest: event.id === game.latest }));
  });
  if (placing) items.push(slotItem(game.timeline.length, game.timeline.at(-1), undefined, place));
  byId("timeline").replaceChildren(...items);
}

function place(position) {
  const card = game.cards[0];
  const move = {
    event_id: card.id,
    position,
    response_ms: Math.min(3_600_000, Math.round(performance.now() - game.shownAt)),
    idempotency_key: newKey(),
  };
  // the same move, with the same key, is what "Try again" sends
  attempt(async () => {
    const placed = await api.move(game.id, move);
    game.cards.shift();
    game.timeline.splice(placed.correct_position, 0, placed.event);
    game.verdicts.set(placed.event.id, placed.correct ? "right" : "wrong");
    Object.assign(game, { score: placed.score, streak: placed.streak, latest: placed.event.id });
    game.shownAt = performance.now();
    draw();
    tell(placed);
    return game.cards.length ? () => focusSlot(placed.correct_position + 1) : finish;
  });
}

function tell(placed) {
  const { event, correct, points } = placed;
  const verdict = correct ? `Right: ${year(event.year)}. ${points} points.` : `It was ${year(event.year)}.`;
  const feedback = byId("feedback");
  feedback.className = `feedback ${correct ? "good" : "bad"}`;
  feedback.replaceChildren(make("strong", {}, verdict), make("span", {}, ` ${event.title}`));
  feedback.append(make("p", {}, event.description));
  feedback.hidden = false;
  const next = game.cards[0] ? ` Next card: ${game.cards[0].title}.` : " That was the last card.";
  say(`${event.title}. ${correct ? "Right" : "Wrong"}. ${verdict}${next}`);
}

function focusSlot(position) {
  const slot = byId("timeline").querySelector(`[data-position="${position}"]`);
  slot?.focus({ preventScroll: true });
  byId("timeline").querySelector(".latest")?.scrollIntoView({ block: "nearest" });
}

function finish() {
  return attempt(async () => {
    const done = await api.complete(game.id);
    const session = game;
    sessionStorage.removeItem(KEPT);
    lastSession = done.id;
    byId("result-title").textContent = praise(done);
    byId("result-score").textContent = number(done.score);
    byId("result-right").textContent = `${done.correct_count} of ${done.move_count}`;
    byId("result-streak").textContent = number(done.best_streak);
    byId("result-timeline").replaceChildren(
      ...session.timeline.map((event) => eventItem(event, { verdict: session.verdicts.get(event.id) })),
    );
    game = null;
    show("result");
    byId("result").focus();
    say(`The game is over. ${done.score} points, ${percent(done.accuracy)} right.`);
  });
}

function praise(done) {
  if (done.move_count === 0) return "Maybe next time.";
  if (done.accuracy === 1) return "A perfect timeline.";
  return done.accuracy >= 0.6 ? "Well placed." : "History is full of surprises.";
}

/** Arrow keys walk over the places of the timeline. */
function walk(pressed) {
  const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[pressed.key];
  if (!step || !game || byId("play").hidden || pressed.altKey || pressed.ctrlKey || pressed.metaKey) return;
  const slots = [...byId("timeline").querySelectorAll(".slot")];
  if (!slots.length) return;
  const now = slots.indexOf(document.activeElement);
  const next = now < 0 ? Math.floor(slots.length / 2) : Math.min(slots.length - 1, Math.max(0, now + step));
  slots[next].focus();
  pressed.preventDefault();
}

// --- pages ------------------------------------------------------------------

function show(part) {
  for (const id of ["settings", "game", "result"]) byId(id).hidden = id !== part;
}

const LOADERS = {
  play: null,
  statistics: async () => drawStatistics(byId("totals"), byId("by-difficulty"), await api.statistics()),
  leaderboard: () => loadLeaders(""),
};

async function loadLeaders(difficulty) {
  const { items } = await api.leaderboard(difficulty);
  drawLeaders(byId("leaders"), items, lastSession);
  for (const chip of byId("leaderboard-filter").children) {
    chip.setAttribute("aria-pressed", String(chip.value === difficulty));
  }
}

function open(view) {
  document.querySelectorAll("[data-panel]").forEach((panel) => (panel.hidden = panel.dataset.panel !== view));
  document.querySelectorAll(".tab").forEach((tab) => {
    if (tab.dataset.view === view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  });
  byId("error").hidden = true;
  if (LOADERS[view]) attempt(LOADERS[view]);
}

async function begin() {
  const kept = sessionStorage.getItem(KEPT);
  await loadCategories();
  if (!kept) return null;
  try {
    const session = await api.session(kept);
    if (!session.finished) return take(session);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  sessionStorage.removeItem(KEPT);
  return null;
}

byId("player-name").value = localStorage.getItem(KEPT_NAME) ?? "";
byId("settings").addEventListener("submit", start);
byId("card-count").addEventListener("input", (event) => (byId("card-count-shown").value = event.target.value));
byId("give-up").addEventListener("click", finish);
byId("again").addEventListener("click", () => {
  show("settings");
  byId("player-name").focus();
});
document.querySelectorAll(".tab").forEach((tab) => tab.addEventListener("click", () => open(tab.dataset.view)));
byId("leaderboard-filter").append(
  ...["", "easy", "medium", "hard", "mixed"].map((name) => {
    const chip = make("button", { type: "button", class: "chip", value: name, "aria-pressed": "false" }, name || "All");
    chip.addEventListener("click", () => attempt(() => loadLeaders(name)));
    return chip;
  }),
);
document.addEventListener("keydown", walk);
attempt(begin);
