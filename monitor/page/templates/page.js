// Keeps the page up to date, and carries its buttons. What is shown is made by the daemon: this
// replaces the parts of the page that changed, and asks the API for what a person wants.
"use strict";

const QUIET_MS = 25_000; // longer than two heartbeats: then the connection is taken for lost
const ASK_MS = 10_000; // between two looks while nothing can be heard
const SETTLED_MS = 2_500; // an incident may be written a moment after what it tells of
const WATCH_MS = 500;
const WATCH_TRIES = 60;

let token = ""; // in the memory of this page only
let source = null;
let heardAt = 0;
let revision = null;
let refreshing = null;

const byId = (id) => document.getElementById(id);

function say(state, text) {
  byId("link").dataset.state = state;
  if (byId("link-said").textContent !== text) byId("link-said").textContent = text;
}

function clock() {
  return new Date().toISOString().slice(11, 19);
}

// --- the parts of the page -------------------------------------------------------------------

function localTimes(root) {
  for (const time of root.querySelectorAll("time")) {
    time.title = new Date(time.dateTime).toLocaleString();
  }
}

function replacePart(part, fresh) {
  if (part.innerHTML === fresh.innerHTML) return;
  const open = new Set([...part.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  for (const one of fresh.querySelectorAll("details")) one.open = open.has(one.dataset.key);
  const focused = part.contains(document.activeElement) ? placeOf(document.activeElement, part) : null;
  part.className = fresh.className;
  part.replaceChildren(...fresh.childNodes);
  localTimes(part);
  part.classList.remove("fresh");
  requestAnimationFrame(() => part.classList.add("fresh"));
  if (focused) focusAt(focused, part);
}

function placeOf(element, part) {
  const alike = [...part.querySelectorAll(element.tagName)];
  return [element.tagName, alike.indexOf(element)];
}

function focusAt([tag, index], part) {
  const alike = part.querySelectorAll(tag);
  alike[Math.min(index, alike.length - 1)]?.focus({ preventScroll: true });
}

async function refresh() {
  const answer = await fetch(location.pathname + location.search, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`the page answered ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const parts = (root) => [...root.querySelectorAll("main [data-live]")].map((one) => one.dataset.live);
  if (parts(document).join() !== parts(fresh).join() && !document.querySelector("dialog[open]")) {
    location.reload(); // a part came or went: a shadow was configured
    return;
  }
  for (const part of document.querySelectorAll("main [data-live]")) {
    const now = fresh.querySelector(`main [data-live="${part.dataset.live}"]`);
    if (now) replacePart(part, document.importNode(now, true));
  }
  document.title = fresh.title;
  const chosen = byId("dialog-rollback").querySelector("select");
  const options = fresh.querySelector("#dialog-rollback select");
  if (options && options.innerHTML !== chosen.innerHTML && !byId("dialog-rollback").open) {
    chosen.replaceChildren(...document.importNode(options, true).childNodes);
  }
}

function refreshSoon() {
  refreshing ??= refresh()
    .then(() => say("live", `live, ${clock()} UTC`))
    .catch(() => say("lost", "the daemon does not answer; what you see is old"))
    .finally(() => (refreshing = null));
  return refreshing;
}

// --- what the daemon tells -------------------------------------------------------------------

function hear(event) {
  heardAt = Date.now();
  const told = JSON.parse(event.data);
  byId("counted").textContent = told.events.toLocaleString("en");
  if (told.revision === revision) return;
  revision = told.revision;
  refreshSoon();
  setTimeout(refreshSoon, SETTLED_MS);
}

function connect() {
  source?.close();
  heardAt = Date.now();
  source = new EventSource("api/v1/changes");
  source.addEventListener("status", hear);
  source.addEventListener("open", () => {
    heardAt = Date.now();
    say("live", `live, ${clock()} UTC`);
  });
  source.addEventListener("error", () => say("lost", "connection lost; trying again"));
}

// A heartbeat is a comment, which nobody hears: so a silent connection is tried anew.
function watchConnection() {
  if (document.hidden) return;
  const closed = source === null || source.readyState === EventSource.CLOSED;
  if (closed) refreshSoon();
  if (closed || Date.now() - heardAt > QUIET_MS) connect();
}

// --- the buttons -----------------------------------------------------------------------------

async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  });
  const said = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? said.title ?? `the daemon answered ${answer.status}`);
  return said;
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function answer(form, text, tone = "", more = []) {
  const place = form.querySelector(".answer");
  place.dataset.tone = tone;
  place.replaceChildren(element("span", text), ...more);
}

function gatesList(record) {
  const list = document.createElement("ul");
  for (const gate of record.gates) {
    list.append(element("li", `${gate.gate}: ${gate.passed ? "passed" : "refused"}, ${gate.detail}`));
  }
  return record.gates.length ? [list] : [];
}

async function untilDecided(id) {
  for (let tries = 0; tries < WATCH_TRIES; tries += 1) {
    const record = await ask("GET", `api/v1/rollbacks/${encodeURIComponent(id)}`).catch(() => null);
    if (record && record.outcome !== null) return record;
    await new Promise((done) => setTimeout(done, WATCH_MS));
  }
  return null;
}

const model = () => document.body.dataset.model;

const actions = {
  async hold(form, values) {
    const held = await ask("POST", "api/v1/holds", { model: model(), reason: values.reason, for: values.for });
    answer(form, `Held until ${held.until.slice(0, 16).replace("T", " ")} UTC.`);
  },
  async resume(form, values) {
    const reason = values.reason ? `?reason=${encodeURIComponent(values.reason)}` : "";
    await ask("DELETE", `api/v1/holds/${encodeURIComponent(model())}${reason}`);
    answer(form, "Automatic action goes on.");
  },
  async rollback(form, values, step) {
    const wanted = { model: model(), reason: values.reason };
    if (values.to_version) wanted.to_version = values.to_version;
    if (step === "confirm") {
      const { id } = await ask("POST", "api/v1/rollbacks", wanted);
      confirmable(form, false);
      answer(form, `Rollback ${id} is under way; the page shows how it goes.`);
      return;
    }
    const { id } = await ask("POST", "api/v1/rollbacks", { ...wanted, dry_run: true });
    answer(form, "The gates are being asked…");
    const record = await untilDecided(id);
    if (record === null) {
      answer(form, `The dry run ${id} has not ended yet; look at the timeline.`, "bad");
      return;
    }
    const would = record.outcome === "would have acted";
    const text = would
      ? `It would go from version ${record.from} to version ${record.to}. Nothing was changed so far.`
      : `It would be refused. ${record.detail}`;
    answer(form, text, would ? "" : "bad", gatesList(record));
    confirmable(form, would);
  },
};

function confirmable(form, can) {
  const confirm = form.querySelector("[data-step=confirm]");
  if (confirm) confirm.hidden = !can;
}

async function submit(event) {
  event.preventDefault();
  const form = event.target;
  const values = Object.fromEntries(new FormData(form));
  token = values.token;
  const buttons = form.querySelectorAll("button[type=submit]");
  for (const button of buttons) button.disabled = true;
  try {
    await actions[form.dataset.action](form, values, event.submitter?.dataset.step);
    refreshSoon();
  } catch (error) {
    answer(form, error.message, "bad");
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function openDialog(name) {
  const dialog = byId(`dialog-${name}`);
  const form = dialog.querySelector("form");
  answer(form, "");
  form.querySelector(".answer").replaceChildren();
  form.elements.token.value = token;
  confirmable(form, false);
  dialog.showModal();
}

// --- start -----------------------------------------------------------------------------------

function themeSwitch() {
  const button = byId("theme");
  const show = () => (byId("theme-said").textContent = storedTheme());
  button.hidden = false;
  show();
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length];
    try {
      localStorage.setItem("kedge-theme", next);
    } catch {
      // then it lasts until the page is loaded again
    }
    applyTheme(next);
    byId("theme-said").textContent = next;
  });
}

byId("actions").hidden = false;
for (const button of document.querySelectorAll("[data-opens]")) {
  button.addEventListener("click", () => openDialog(button.dataset.opens));
}
for (const button of document.querySelectorAll("[data-closes]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
for (const form of document.querySelectorAll("form[data-action]")) {
  form.addEventListener("submit", submit);
  // What was rehearsed is what is confirmed: another target or reason is rehearsed anew.
  form.addEventListener("input", () => confirmable(form, false));
}
themeSwitch();
localTimes(document);
connect();
setInterval(watchConnection, ASK_MS);
document.addEventListener("visibilitychange", watchConnection);
