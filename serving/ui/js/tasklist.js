/** The list of tasks beside every view: searchable, and quick with thousands of them. */

import { el, fill } from "./dom.js";
import { errorBox } from "./errors.js";
import { wordsOf } from "./kinds.js";
import { allTasks, onTasks, tasksProblem } from "./store.js";

const NARROW = "(max-width: 48rem)"; // as in layout.css
const MOST = 150; // further ones are found by searching

const place = document.getElementById("tasks");
const found = el("p", { class: "fine", id: "found", role: "status" });
const list = el("ul", { class: "task-list", keydown: step });
const search = el("input", {
  id: "search",
  type: "search",
  placeholder: "Name, kind or state",
  autocomplete: "off",
  spellcheck: "false",
  "aria-describedby": "found",
  input: show,
  keydown: step,
});
let current = "";
let shownAs = ""; // what the list was drawn from, so that it is left alone while nothing changes

/** Puts the list on the page. */
export function startTaskList() {
  fill(
    place,
    el("details", { class: "drawer", open: !matchMedia(NARROW).matches },
      el("summary", {}, "Tasks"),
      el("label", { for: "search", class: "unseen" }, "Search tasks"),
      search,
      found,
      list,
    ),
  );
  onTasks(show);
}

/** Marks the task that is being tried, and folds a list that would hide it; "" marks none. */
export function markTask(name) {
  if (name !== current && current && matchMedia(NARROW).matches) place.firstChild.open = false;
  current = name;
  show();
}

/** Whether a task is what the words ask for. */
export function matches(task, words) {
  const text = `${task.name} ${task.kind ?? ""} ${task.state} ${task.residency ?? ""}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** The words of a search. */
export const wordsIn = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

function show() {
  const words = wordsIn(search.value);
  const all = allTasks().filter((task) => matches(task, words));
  const shown = all.slice(0, MOST);
  const drawn = JSON.stringify([current, all.length, shown.map(facts), tasksProblem()?.message]);
  if (drawn === shownAs) return;
  shownAs = drawn;
  found.textContent = count(all.length, shown.length, words.length > 0);
  const focused = list.contains(document.activeElement) && document.activeElement.dataset.name;
  const error = tasksProblem();
  fill(list, error && el("li", {}, errorBox(error)), shown.map(entry));
  if (focused) list.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
}

const facts = (task) => [task.name, task.kind, task.state, task.version, task.residency];

function count(all, shown, searched) {
  const tasks = `${all.toLocaleString("en")} ${all === 1 ? "task" : "tasks"}`;
  if (shown < all) return `${tasks}, the first ${shown} are shown: search for the others`;
  return searched ? `${tasks} found` : tasks;
}

function entry(task) {
  const link = el(
    "a",
    {
      href: `#try/${encodeURIComponent(task.name)}`,
      "aria-current": task.name === current && "page",
      "data-name": task.name,
    },
    el("span", { class: "task-name" }, task.name),
    el("span", { class: "task-kind" }, wordsOf(task.kind)),
    el(
      "span",
      { class: "task-facts" },
      stateChip(task.state),
      task.residency && el("span", { class: "fine" }, residencyWords(task.residency)),
      task.version && el("span", { class: "fine mono" }, task.version),
    ),
  );
  return el("li", {}, link);
}

/** A task's state, in colour and in words. */
export function stateChip(state) {
  return el("span", { class: "state", "data-state": state }, state);
}

/** Where a task's weights are, in words. */
export function residencyWords(residency) {
  return residency ? { device: "on device", host: "in memory", absent: "not loaded" }[residency] ?? residency : "";
}

/** Arrows walk from the search field through the list. */
function step(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return;
  const stops = [search, ...list.querySelectorAll("a")];
  const next = stops[stops.indexOf(document.activeElement) + by];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
