"use strict";
// Everything that comes from the database reaches the page as text, never as markup.
const ROW = 32, EXTRA = 12, MOST_PRINTED = 2000, ZOOMS = [1, 2, 4, 8, 16], AGES_SECONDS = 15;
const find = (selector, root = document) => root.querySelector(selector);
const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

function make(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

let tables = JSON.parse(find("#data").textContent);
let chosen = "", zoom = 1;

function clock(time) {
  return tables.days ? time.slice(5, 19) : time.slice(11, 19);
}

// What would turn the writing around, or not be seen, as an escape: the page is given it so, and JSON may name it.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2).replace(HIDDEN,
      (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0"));
  } catch {
    return text;
  }
}

// A table of which only the rows in sight are in the document.
class Table {
  // columns: heading, place in a row, width, form ("time", "number", "pill", "mono" or ""); agents: places of agents
  constructor(name, columns, agents, fields) {
    this.name = name;
    this.columns = columns;
    this.agents = agents;
    this.fields = fields;
    this.section = find("#" + name);
    this.box = find(".box", this.section);
    this.body = make("tbody");
    this.order = { place: null, down: false };
    this.current = -1;
    this.heads = columns.map(([title, place, width, form]) => {
      const head = make("th", { scope: "col", className: form === "pill" ? "" : form },
        make("button", { type: "button", onclick: () => this.sortBy(place) }, title));
      head.style.width = width;
      return head;
    });
    find("table", this.box).replaceChildren(make("thead", {}, make("tr", {}, ...this.heads)), this.body);
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.press(event));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr[aria-rowindex]");
      if (row) this.open(Number(row.getAttribute("aria-rowindex")) - 2);
    });
    this.update();
  }

  update() {
    this.rows = tables[this.name];
    this.texts = this.rows.map((row) => row.filter((cell) => cell !== null).join("\n").toLowerCase());
    this.select();
  }

  // Show the rows that have every word that is searched, and the agent that is chosen, in the order that is chosen.
  select() {
    const words = find("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = [];
    for (let place = 0; place < this.rows.length; place++) {
      if (chosen && !this.agents.some((at) => this.rows[place][at] === chosen)) continue;
      if (words.every((word) => this.texts[place].includes(word))) kept.push(this.rows[place]);
    }
    const { place, down } = this.order;
    if (place !== null) {
      const compare = (one, other) => one < other ? -1 : one > other ? 1 : 0;
      kept.sort((one, other) => (down ? -1 : 1) * compare(one[place] ?? "", other[place] ?? ""));
    }
    this.shown = kept;
    this.current = Math.min(this.current, kept.length - 1);
    const of = kept.length === this.rows.length ? "" : " of " + this.rows.length.toLocaleString("en");
    const total = tables.totals[this.name] ?? 0, older = total - this.rows.length;
    const without = older > 0 ? `, and ${older.toLocaleString("en")} older ones in the store` : "";
    find(".count", this.section).textContent = kept.length.toLocaleString("en") + of + without;
    find("table", this.box).setAttribute("aria-rowcount", kept.length + 1);
    this.draw();
  }

  sortBy(place) {
    this.order = { place, down: this.order.place === place && !this.order.down };
    this.heads.forEach((head, at) => {
      if (this.columns[at][1] !== place) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.order.down ? "descending" : "ascending");
    });
    this.box.scrollTop = 0;
    this.select();
  }

  draw(all = false) {
    const height = this.box.clientHeight || 400;
    const first = all ? 0 : Math.max(0, Math.floor(this.box.scrollTop / ROW) - EXTRA);
    const end = all ? Math.min(this.shown.length, MOST_PRINTED)
      : Math.min(this.shown.length, Math.ceil((this.box.scrollTop + height) / ROW) + EXTRA);
    const rows = [];
    for (let place = Math.min(first, end); place < end; place++) rows.push(this.drawRow(place));
    const width = this.columns.length, below = all ? 0 : this.shown.length - end;
    this.body.replaceChildren(space(first * ROW, width), ...rows, space(below * ROW, width));
  }

  drawRow(place) {
    const row = this.shown[place];
    const line = make("tr", { className: place === this.current ? "current" : "" });
    line.setAttribute("aria-rowindex", place + 2);
    for (const [, at, , form] of this.columns) {
      const text = row[at] === null ? "" : form === "time" ? clock(row[at]) : String(row[at]).slice(0, 300);
      line.append(form === "pill" ? make("td", {}, make("span", { className: "pill is-" + text, textContent: text }))
        : make("td", { className: form, textContent: text }));
    }
    return line;
  }

  press(event) {
    const page = Math.floor(this.box.clientHeight / ROW) - 2;
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    if (event.target !== this.box) return;
    if (event.key === "Enter") {
      event.preventDefault(); // else it would press the button that then has the focus
      this.open(this.current);
    }
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.current = Math.max(0, Math.min(this.shown.length - 1, this.current + moves[event.key]));
    const top = this.current * ROW, room = this.box.clientHeight - 2 * ROW;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
    this.draw();
  }

  open(place) {
    const row = this.shown[place];
    if (!row) return;
    this.current = place;
    this.draw();
    const dialog = find("#details");
    const list = make("dl");
    this.fields.forEach((field, at) => {
      if (row[at] !== null && row[at] !== "") list.append(make("dt", { textContent: field }),
        make("dd", { textContent: typeof row[at] === "string" ? pretty(row[at]) : row[at],
          className: ["payload", "value", "detail"].includes(field) ? "mono" : "" }));
    });
    dialog.replaceChildren(list, make("button", { type: "button", textContent: "Close", onclick: () => dialog.close() }));
    dialog.showModal();
  }
}

function space(height, width) {
  const cell = make("td", { colSpan: width });
  cell.style.height = height + "px";
  const row = make("tr", { className: "space", ariaHidden: "true" }, cell);
  row.hidden = height <= 0;
  return row;
}

const shown = {
  messages: new Table("messages", [["id", 0, "5rem", "number"], ["sent", 1, "7rem", "time"], ["from", 2, "11rem", "mono"],
    ["to", 3, "11rem", "mono"], ["type", 4, "13rem", ""], ["priority", 5, "5rem", "number"], ["state", 6, "8.5rem", "pill"],
    ["payload", 7, "auto", "mono"]], [2, 3],
    ["id", "sent", "from", "to", "type", "priority", "state", "payload", "taken", "acknowledged", "retries"]),
  state: new Table("state", [["agent", 0, "11rem", "mono"], ["key", 1, "15rem", "mono"], ["type", 2, "8rem", ""],
    ["version", 3, "6rem", "number"], ["saved", 4, "7rem", "time"], ["value", 5, "auto", "mono"]], [0],
    ["agent", "key", "type", "version", "saved", "value", "expires"]),
  events: new Table("events", [["id", 0, "5rem", "number"], ["time", 1, "8rem", "time"], ["event", 2, "14rem", ""],
    ["agent", 3, "12rem", "mono"], ["detail", 4, "auto", "mono"]], [3], ["id", "time", "event", "agent", "detail"]),
};

// What differs between two checkpoints, key by key; in JSON objects, field by field.
function compare() {
  const points = Object.fromEntries(tables.checkpoints.map((point) => [point[0], new Map(
    point[4].map(([key, version, value]) => [key, { version, value: tables.values[value] }]))]));
  const before = points[find("#before").value], after = points[find("#after").value];
  const box = find("#difference");
  if (!before || !after) return box.replaceChildren(make("p", { className: "nothing", textContent: "No checkpoints." }));
  const rows = [];
  for (const key of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [one, other] = [before.get(key), after.get(key)];
    if (one && other && one.value === other.value && one.version === other.version) continue;
    const kind = !one ? "added" : !other ? "removed" : "changed";
    const version = (!one ? "" : one.version) + (one && other && one.version !== other.version ? " → " + other.version
      : one ? "" : other.version);
    const [old, fresh] = one && other ? trim(one.value, other.value) : [one?.value ?? "", other?.value ?? ""];
    rows.push(make("tr", { className: kind }, ...[kind, key, version, pretty(old), pretty(fresh)].map((text, at) =>
      make("td", { textContent: text, className: at > 2 || at === 1 ? "mono" : "" }))));
  }
  const heads = ["", "key", "version", "from", "to"].map((text) => make("th", { scope: "col", textContent: text }));
  box.replaceChildren(rows.length ? make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows))
    : make("p", { className: "nothing", textContent: "Both hold the same." }));
}

// Of two JSON objects only the fields that differ; other values whole.
function trim(old, fresh) {
  try {
    const [one, other] = [JSON.parse(old), JSON.parse(fresh)];
    const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
    if (!isObject(one) || !isObject(other)) return [old, fresh];
    const same = (field) => JSON.stringify(one[field]) === JSON.stringify(other[field]);
    const keep = (value) => JSON.stringify(Object.fromEntries(Object.entries(value).filter(([field]) => !same(field))));
    return [keep(one), keep(other)];
  } catch {
    return [old, fresh];
  }
}

// Offer the checkpoints; at first the first and the last of the agent that made the last one, or of the chosen agent.
function offerCheckpoints() {
  const points = tables.checkpoints.filter((point) => !chosen || point[2] === chosen);
  const last = points.at(-1), own = points.filter((point) => last && point[2] === last[2]);
  const begin = { before: own[0], after: last };
  find("#checkpoints .count").textContent = points.length.toLocaleString("en");
  for (const name of ["before", "after"]) {
    const select = find("#" + name), old = select.value;
    select.replaceChildren(...points.map(([id, time, agent, kind]) =>
      make("option", { value: id, textContent: `${clock(time)} ${agent} (${kind})` })));
    select.value = points.some(([id]) => id === old) && select.dataset.touched ? old : begin[name]?.[0] ?? "";
    select.onchange = () => { select.dataset.touched = "1"; compare(); };
  }
  compare();
}

function choose(agent) {
  chosen = chosen === agent ? "" : agent;
  find("#chosen").hidden = !chosen;
  find("#chosen").textContent = chosen ? `only ${chosen} ✕` : "";
  markChosen();
  Object.values(shown).forEach((table) => table.select());
  offerCheckpoints();
}

function markChosen() {
  findAll(".names button").forEach((button) => button.setAttribute("aria-pressed", button.dataset.agent === chosen));
  find(".drawing").classList.toggle("is-chosen", Boolean(chosen));
  findAll(".message, .mark[data-agent], .lane").forEach((node) => node.classList.toggle("own",
    [node.dataset.agent, node.dataset.from, node.dataset.to].includes(chosen)));
}

function zoomTo(next) {
  const scroller = find(".scroller"), drawing = find(".drawing");
  const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / drawing.clientWidth;
  zoom = next;
  drawing.className = drawing.className.replace(/zoom-\d+/, "").trim() + " zoom-" + zoom;
  drawing.style.width = 100 * zoom + "%";
  scroller.scrollLeft = middle * drawing.clientWidth - scroller.clientWidth / 2;
}

function zoomBy(step) {
  const place = ZOOMS.indexOf(zoom);
  zoomTo(step ? ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, place + step))] : 1);
}

function connectTimeline() {
  findAll(".names button").forEach((button) => { button.onclick = () => choose(button.dataset.agent); });
  findAll(".zoom button").forEach((button) => { button.onclick = () => zoomBy(Number(button.dataset.zoom)); });
  const drawing = find(".drawing"), tip = find("#tip");
  drawing.onpointermove = (event) => {
    const node = event.target.closest("[data-text], .message");
    tip.hidden = !node;
    if (!node) return;
    tip.textContent = node.dataset.text ?? tellMessage(Number(node.dataset.id));
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + "px";
  };
  drawing.onpointerleave = () => { tip.hidden = true; };
  drawing.onclick = (event) => {
    const node = event.target.closest(".message");
    if (!node) return;
    const place = shown.messages.shown.findIndex((row) => row[0] === Number(node.dataset.id));
    shown.messages.open(place);
  };
}

function tellMessage(id) {
  const row = tables.messages.find((message) => message[0] === id);
  return row ? `${row[4]} from ${row[2]} to ${row[3]}, ${clock(row[1])}, ${row[6]}` : "";
}

find("#search").addEventListener("input", () => Object.values(shown).forEach((table) => {
  table.box.scrollTop = 0;
  table.select();
}));
find("#chosen").onclick = () => choose(chosen);
find("#theme").onclick = () => {
  const themes = ["auto", "light", "dark"], root = document.documentElement;
  const next = themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % 3];
  root.dataset.theme = next;
  find("#theme").textContent = "Theme: " + next;
};
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (chosen) choose(chosen);
    if (event.target.id === "search") { event.target.value = ""; event.target.dispatchEvent(new Event("input")); }
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); find("#search").focus(); }
  if ("+=".includes(event.key)) zoomBy(1);
  if (event.key === "-") zoomBy(-1);
  if (event.key === "0") zoomBy(0);
});
addEventListener("beforeprint", () => Object.values(shown).forEach((table) => table.draw(true)));
addEventListener("afterprint", () => Object.values(shown).forEach((table) => table.draw()));
addEventListener("resize", () => Object.values(shown).forEach((table) => table.draw()));
connectTimeline();
offerCheckpoints();

// A live page asks its server again each time that says that something has changed.
function update(fresh) {
  const left = find(".scroller").scrollLeft;
  tables = fresh.tables;
  for (const [name, markup] of Object.entries(fresh.parts)) find("#part-" + name).innerHTML = markup; // made and escaped there
  connectTimeline();
  zoomTo(zoom);
  find(".scroller").scrollLeft = left;
  markChosen();
  Object.values(shown).forEach((table) => table.update());
  offerCheckpoints();
  document.body.dataset.updates = Number(document.body.dataset.updates ?? 0) + 1;
}

function follow() {
  const query = "?session=" + encodeURIComponent(tables.session), live = find("#live");
  let isAsking = false, isStale = false;
  const tell = (text, isLost) => { live.textContent = text; live.classList.toggle("lost", isLost); };
  async function ask() {
    if (isAsking) { isStale = true; return; }
    isAsking = true;
    try {
      const answer = await fetch("data" + query);
      const fresh = await answer.json();
      if (fresh.error) tell(fresh.error, true);
      else { update(fresh); tell("live", false); }
    } catch {
      tell("no contact", true);
    }
    isAsking = false;
    if (isStale) { isStale = false; ask(); }
  }
  const source = new EventSource("changes" + query);
  source.onmessage = ask;
  setInterval(ask, AGES_SECONDS * 1000); // how long ago something was is another, though nothing has changed
  source.onerror = () => tell("no contact, trying again", true);
  find("#session").onchange = (event) => { location.search = "?session=" + encodeURIComponent(event.target.value); };
}

if (document.body.hasAttribute("data-live")) follow();
document.body.dataset.ready = "1";
