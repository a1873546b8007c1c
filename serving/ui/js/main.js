/** Starts the page: which view is shown follows the address behind `#`. */

import { info } from "./api.js";
import { compareView } from "./compare.js";
import { el, fill } from "./dom.js";
import { errorBox } from "./errors.js";
import { onKey } from "./key.js";
import { liveView } from "./live.js";
import { allTasks, onTasks, refresh, tasksProblem } from "./store.js";
import { markTask, startTaskList } from "./tasklist.js";
import { tryView } from "./try.js";

const content = document.getElementById("content");
const about = document.getElementById("about");
const VIEWS = { try: openTry, compare: () => compareView(content), live: () => liveView(content) };
let leave = () => {};
let opened = null;

function route() {
  const [name, argument = ""] = location.hash.slice(1).split("/");
  const view = Object.hasOwn(VIEWS, name) ? name : "try";
  return { view, argument: decoded(argument) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody typed a lone %
  }
}

function open() {
  const { view, argument } = route();
  leave();
  leave = () => {};
  for (const link of document.querySelectorAll(".views [data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  opened = { view, argument, waits: false };
  leave = VIEWS[view](argument) ?? (() => {});
  const title = content.querySelector("h1")?.textContent;
  document.title = title ? `${title} · Polyhead playground` : "Polyhead playground";
}

function openTry(argument) {
  const task = argument || allTasks()[0]?.name;
  markTask(task ?? "");
  if (task && allTasks().some(({ name }) => name === task)) return tryView(content, task);
  opened.waits = true; // for the tasks, or for one that may come
  const problem = tasksProblem();
  fill(content, problem ? errorBox(problem) : el("p", { class: "empty" }, missing(task)));
  return undefined;
}

function missing(task) {
  if (!allTasks().length) return "This server has no tasks yet. Those that come appear here.";
  return `There is no task named ${task}. Choose one from the list.`;
}

async function showAbout() {
  try {
    const { version, backbone, model_type: type, device, dtype } = await info();
    // With a default task, `model_type` is what TEI's clients look for.
    const facts = [`Polyhead ${version}`, typeof type === "string" && type, backbone, device, dtype];
    fill(about, facts.filter(Boolean).join(" · "));
  } catch {
    fill(about, "Polyhead"); // the views say what is wrong
  }
}

/** Skips to an element without leaving the view's own address. */
function skip(event) {
  const target = event.target.closest("[data-skip]");
  if (!target) return;
  event.preventDefault();
  document.getElementById(target.dataset.skip).focus();
}

document.addEventListener("click", skip);
window.addEventListener("hashchange", () => {
  open();
  content.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
onTasks(() => opened?.waits && open());
onKey(() => {
  refresh();
  showAbout();
});
startTaskList();
showAbout();
refresh().then(() => opened ?? open());
