// Draws events, timelines and tables. Text from the server only ever becomes text, never markup.

const NUMBER = new Intl.NumberFormat("en");

/** An element with attributes and children; strings become text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

export function year(number) {
  if (number < 0) return `${-number} BC`;
  return number < 100 ? `AD ${number}` : String(number);
}

export function number(value) {
  return value === null ? "–" : NUMBER.format(Math.round(value));
}

export function percent(share) {
  return share === null ? "–" : `${Math.round(share * 100)} %`;
}

function tint(category) {
  return `--tint: var(--${/^[a-z]+$/.test(category) ? category : "accent"})`;
}

function kind(event) {
  return make("div", { class: "kind" }, event.category, make("span", { class: "level" }, ` · ${event.difficulty}`));
}

/** Fill the card that is to be placed. */
export function drawCard(target, card) {
  target.setAttribute("style", tint(card.category));
  target.dataset.eventId = card.id;
  target.replaceChildren(kind(card), make("p", { class: "title", "data-testid": "current-title" }, card.title));
}

/** One event on a timeline; `verdict` is "right", "wrong" or undefined for the card it began with. */
export function eventItem(event, { verdict, latest } = {}) {
  const told = { right: "✓ right", wrong: "✗ moved here" }[verdict];
  const classes = ["event", verdict, latest && "latest"].filter(Boolean).join(" ");
  const box = make("div", { class: "box" }, make("p", { class: "title" }, event.title));
  if (told) box.append(make("span", { class: "verdict" }, told));
  return make(
    "li",
    {},
    make(
      "div",
      {
        class: classes,
        style: tint(event.category),
        "data-testid": "timeline-card",
        "data-event-id": event.id,
        "data-year": event.year,
      },
      make("span", { class: "year" }, year(event.year)),
      box,
    ),
  );
}

/** A button between two cards. */
export function slotItem(position, before, after, place) {
  const where =
    before && after
      ? `between ${year(before.year)} and ${year(after.year)}`
      : after
        ? `before ${year(after.year)}`
        : `after ${year(before.year)}`;
  const button = make(
    "button",
    {
      type: "button",
      class: "slot",
      "data-testid": `slot-${position}`,
      "data-position": position,
      "aria-label": `Place here, ${where}`,
    },
    `Place ${where}`,
  );
  button.addEventListener("click", () => place(position));
  return make("li", {}, button);
}

export function drawLeaders(body, leaders, ownSession) {
  body.replaceChildren(
    ...leaders.map((leader) =>
      make(
        "tr",
        { class: leader.session_id === ownSession ? "own" : undefined, "data-testid": "leader" },
        make("td", {}, String(leader.rank)),
        make("td", {}, leader.player_name),
        make("td", { class: "number" }, number(leader.score)),
        make("td", { class: "number" }, percent(leader.accuracy)),
        make("td", { class: "number wide" }, String(leader.card_count)),
        make("td", { class: "named wide" }, leader.difficulty),
        make("td", { class: "wide" }, leader.completed_at.slice(0, 10)),
      ),
    ),
  );
  if (!leaders.length) {
    body.append(make("tr", {}, make("td", { colspan: "7" }, "No finished games yet. Be the first.")));
  }
}

export function drawStatistics(totals, body, statistics) {
  const figures = [
    ["Games", number(statistics.sessions)],
    ["Finished", number(statistics.finished_sessions)],
    ["Cards placed", number(statistics.moves)],
    ["Right", percent(statistics.accuracy)],
    ["Average score", number(statistics.average_score)],
    ["Best score", number(statistics.best_score)],
  ];
  totals.replaceChildren(
    ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
  body.replaceChildren(
    ...statistics.by_difficulty.map((row) => {
      const share = make("i", { style: `width: ${(row.accuracy ?? 0) * 100}%` });
      return make(
        "tr",
        {},
        make("td", { class: "named" }, row.difficulty),
        make("td", { class: "number" }, number(row.sessions)),
        make("td", { class: "number" }, number(row.finished_sessions)),
        make("td", {}, make("span", { class: "bar", "aria-hidden": "true" }, share), percent(row.accuracy)),
        make("td", { class: "number" }, number(row.average_score)),
      );
    }),
  );
}
