// Keeps the page up to date: its parts are fetched every few seconds while it is visible, and after each action.
"use strict";

const EVERY_MS = 4000;
const SOON_MS = 1000; // while a part is still loading
const LOST = "The dashboard does not respond: the page may be out of date. Is `relay dashboard` still running?";
const UNKNOWN = "There was no response: the page will show whether the action succeeded. Is `relay dashboard` still running?";

const notice = document.getElementById("notice");
const news = document.getElementById("news");
const live = document.getElementById("live");
const utc = document.getElementById("utc");
const search = document.getElementById("search");
const words = document.getElementById("words");
const outcome = document.getElementById("outcome");
const found = document.getElementById("found");
const parts = () => document.querySelectorAll("[data-part]");
const served = new Map(); // each part as the server sent it; the page itself changes in use
const announced = new Map();
const unfolded = new Set(); // by the search, not by the reader
let latest = 0; // the last request; responses to earlier ones are out of date
let acting = 0;
let timer;

function showNotice(text, isProblem) {
  notice.textContent = text;
  notice.classList.toggle("problem", isProblem);
}

// Local time, as short as it can be read; UTC in full, as the server sends it, when it is asked for.
function showTimes() {
  for (const each of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    each.title ||= each.textContent;
    each.textContent = utc.checked ? each.title : local(moment, each.id === "now");
  }
  for (const each of document.querySelectorAll("title[data-at]")) {
    each.dataset.utc ||= each.textContent;
    const shown = local(new Date(each.dataset.at));
    each.textContent = utc.checked ? each.dataset.utc : each.dataset.utc.replace(/^.* UTC/, shown);
  }
}

function local(moment, withZone) {
  const now = new Date();
  const day = { day: "numeric", month: "short" };
  if (moment.getFullYear() !== now.getFullYear()) day.year = "numeric";
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const seconds = { second: "2-digit", ...(withZone && { timeZoneName: "short" }) };
  const isToday = moment.toDateString() === now.toDateString();
  return moment.toLocaleString("en-GB", isToday ? { ...clock, ...seconds } : { ...day, ...clock });
}

// Bursts and older messages are unfolded while something is searched for.
function filter() {
  const wanted = words.value.trim().toLowerCase();
  const active = Boolean(wanted || outcome.value);
  const posts = document.querySelector("[data-part=posts]");
  const rows = [...posts.querySelectorAll("[data-outcome]")];
  for (const row of rows) {
    const fits = !outcome.value || row.dataset.outcome.replace("already_", "") === outcome.value;
    row.hidden = !fits || !row.textContent.toLowerCase().includes(wanted);
  }
  for (const fold of posts.querySelectorAll(".fold")) {
    if (active && !fold.open) unfolded.add(fold.id);
    if (unfolded.has(fold.id)) fold.open = active;
    (fold.closest(".burst") ?? fold).hidden = !fold.querySelector("[data-outcome]:not([hidden])");
  }
  if (!active) unfolded.clear();
  const shown = rows.filter((row) => !row.hidden).length;
  search.hidden = !rows.length;
  found.textContent = active ? `${shown} of the ${rows.length} newest` : "";
}

function remember(part, fresh) {
  served.set(part.dataset.part, fresh.innerHTML);
  announced.set(part.dataset.part, fresh.dataset.news);
}

function replace(part, fresh) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const named = focused?.closest("[id]").id; // the focused element, or what it belongs to
  const values = new Map([...part.querySelectorAll("input[id], select[id]")].map((each) => [each.id, each.value]));
  const open = [...part.querySelectorAll("details[open]")].map((each) => each.id);
  const scrolled = new Map([...part.querySelectorAll(".wide")].map((each) => [each.id, each.scrollLeft]));
  const title = part.closest("section").querySelector("h2");
  part.className = fresh.className;
  part.replaceChildren(...fresh.childNodes);
  for (const each of part.querySelectorAll("input[id], select[id]")) {
    if (values.has(each.id)) each.value = values.get(each.id);
  }
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const each of part.querySelectorAll(".wide")) each.scrollLeft = scrolled.get(each.id) ?? each.scrollWidth;
  if (focused) {
    const again = document.getElementById(named);
    const target = focused.id || !part.contains(again) ? again : again.querySelector(focused.localName);
    (part.contains(target) ? target : title).focus({ preventScroll: true });
  }
}

function show(page) {
  const changes = [];
  for (const part of parts()) {
    const fresh = page.querySelector(`[data-part="${part.dataset.part}"]`);
    const text = fresh.dataset.news;
    if (text && announced.get(part.dataset.part) && text !== announced.get(part.dataset.part)) changes.push(text);
    if (fresh.innerHTML === served.get(part.dataset.part)) continue;
    remember(part, fresh);
    replace(part, fresh);
  }
  document.getElementById("now").replaceWith(page.getElementById("now"));
  showTimes();
  filter();
  if (changes.length) news.textContent = changes.join(" ");
}

async function ask(address, options) {
  const mine = ++latest;
  const answer = await fetch(address, { cache: "no-store", redirect: "error", ...options });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  const page = new DOMParser().parseFromString(text, "text/html");
  if (mine === latest) show(page);
  return page.getElementById("notice");
}

async function refresh() {
  clearTimeout(timer);
  if (!acting) {
    try {
      await ask("./", { method: "GET" });
      if (notice.textContent === LOST) showNotice("", false);
    } catch {
      if (!acting) showNotice(LOST, true);
    }
  }
  plan();
}

function plan() {
  clearTimeout(timer);
  if (document.hidden || !live.checked) return;
  timer = setTimeout(refresh, document.querySelector("[data-pending]") ? SOON_MS : EVERY_MS);
}

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true"); // unlike `disabled`, this keeps the focus
  acting += 1;
  try {
    const result = await ask(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    showNotice(result.textContent, result.classList.contains("problem"));
  } catch (error) {
    showNotice(error instanceof TypeError ? UNKNOWN : error.message, true); // fetch itself raises TypeError
  } finally {
    acting -= 1;
    button.removeAttribute("aria-disabled");
    plan();
  }
});
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : live.checked && refresh()));
utc.addEventListener("change", showTimes);
for (const each of [words, outcome]) {
  each.addEventListener("input", () => {
    filter();
    news.textContent = found.textContent;
  });
}
live.addEventListener("change", () => (live.checked ? refresh() : clearTimeout(timer)));

for (const part of parts()) {
  remember(part, part);
  for (const each of part.querySelectorAll(".wide")) each.scrollLeft = each.scrollWidth;
}
document.querySelector(".options").hidden = false;
showTimes();
filter();
plan();
