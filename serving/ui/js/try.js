/** One task: what it is, a form to ask it, its answer, and the request to copy. */

import { describeTask, predict, taskPath } from "./api.js";
import { factsOf, inWords, jsonOf, picture } from "./answer.js";
import { copyable } from "./copy.js";
import { announce, el, fill } from "./dom.js";
import { errorBox, titleOf } from "./errors.js";
import { formOf } from "./form.js";
import { key } from "./key.js";
import { ALSO, bodyOf, kindOf, wordsOf } from "./kinds.js";
import { curl, python } from "./snippets.js";
import { findTask, onTasks, refresh } from "./store.js";
import { tabs } from "./tabs.js";
import { headOf } from "./taskhead.js";

/** Opens the view; returns what to call when it is left. */
export function tryView(place, name) {
  let task = findTask(name);
  let left = false;
  let form = null;
  let kind = task.kind;
  let own; // the task's own example, once it is known
  let isTouched = false; // nothing takes the place of what somebody typed or sent
  let going = new AbortController();
  const head = el("div", { class: "task-head" }, headOf(task));
  const asking = el("div", { input: () => (isTouched = true) });
  const result = el("div", { class: "result" });
  const versions = versionField(task);
  const button = el("button", { type: "submit", class: "main" }, "Run");
  const buttons = el(
    "div",
    { class: "buttons" },
    button,
    versions,
    el("span", { class: "fine keys" }, "or Ctrl+Enter"),
  );

  function show(chosen) {
    kind = chosen;
    isTouched = false;
    const row = kindOf(kind);
    const known = kind === task.kind && own !== undefined ? row.read?.(own) : {};
    form = formOf(kind, { ...row.example, ...known }, run);
    form.element.append(buttons);
    fill(asking, el("p", { class: "what" }, row.what), form.element);
    fill(result);
  }

  async function run() {
    isTouched = true;
    going.abort();
    going = new AbortController();
    const { signal } = going;
    const [values, version] = [form.values(), versions?.querySelector("select").value];
    button.setAttribute("aria-busy", "true");
    try {
      const body = bodyOf(kind, values, form.options());
      const path = taskPath(name, version);
      const answer = await predict(name, body, { version, signal });
      fill(result, answered(kind, answer, values), copied(kind, path, body, answer.outputs));
      announce(inWords(kind, answer.outputs));
      result.firstChild.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(result, errorBox(error));
      result.firstChild.scrollIntoView({ block: "nearest" });
      announce(titleOf(error));
    }
    button.removeAttribute("aria-busy");
    refresh();
  }

  const also = [kind, ...(ALSO[kind] ?? [])];
  fill(place, head, also.length > 1 ? modes(also, asking, show) : asking, result);
  show(kind);
  takeExample(name, (example) => {
    own = example;
    if (!left && kind === task.kind && !isTouched) show(kind);
  });
  const stop = onTasks(() => {
    task = findTask(name) ?? { ...task, state: "deleted" };
    fill(head, headOf(task));
  });
  return () => {
    left = true;
    stop();
    going.abort();
  };
}

/** The task's own example, where it has one. */
async function takeExample(name, take) {
  try {
    const { example } = await describeTask(name);
    if (example !== null && example !== undefined) take(example);
  } catch {
    // The kind's example is there, and running it says what is wrong.
  }
}

/** One form for each of the ways to ask a task. */
function modes(kinds, asking, show) {
  const words = Object.fromEntries(kinds.map((kind) => [wordsOf(kind), kind]));
  const panels = kinds.map((kind) => [wordsOf(kind), el("div", {})]);
  panels[0][1].append(asking);
  return tabs("Ways to ask", panels, (title) => {
    panels.find(([each]) => each === title)[1].append(asking);
    show(words[title]);
  });
}

/** Chooses a version where there are several; null where there is one. */
function versionField(task) {
  const ids = (task.versions ?? []).filter(({ state }) => state === "ready").map(({ id }) => id);
  if (ids.length < 2) return null;
  const choices = ids.map((id) => el("option", { value: id }, id));
  return el(
    "span",
    { class: "field inline" },
    el("label", { for: "version" }, "Version"),
    el("select", { id: "version" }, el("option", { value: "" }, "by traffic"), choices),
  );
}

function answered(kind, answer, values) {
  return el(
    "section",
    { class: "card", "aria-label": "Answer" },
    el("h2", {}, "Answer"),
    el("div", { class: "picture" }, picture(kind, answer.outputs, values)),
    factsOf(answer),
  );
}

function copied(kind, path, body, outputs) {
  const hasKey = key() !== "";
  return el(
    "section",
    { class: "card", "aria-label": "Request" },
    el("h2", {}, "Ask it yourself"),
    tabs("Request as", [
      ["curl", copyable("curl command", curl(path, body, hasKey))],
      ["Python", copyable("Python script", python(kind, path, body, hasKey))],
      ["JSON", jsonOf(outputs)],
    ]),
  );
}
