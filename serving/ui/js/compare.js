/** Several tasks on one text, side by side. */

import { analyze, taskPath } from "./api.js";
import { factsOf, inWords, milliseconds, picture } from "./answer.js";
import { announce, el, fill, nextId } from "./dom.js";
import { errorBox } from "./errors.js";
import { bodyOf, KINDS, wordsOf } from "./kinds.js";
import { allTasks, onTasks } from "./store.js";
import { matches, wordsIn } from "./tasklist.js";

const TEXT = "A warm, funny and beautifully acted film that Anna Falk saw twice in Lisbon.";
const MOST = 60;
const AT_FIRST = 4;
const kept = { text: TEXT, chosen: null }; // what was chosen stays while other views are looked at

/** Whether a task can be asked about one plain text. */
const takesText = ({ kind }) => KINDS[kind]?.about !== undefined;

/** Opens the view; returns what to call when it is left. */
export function compareView(place) {
  let going = new AbortController();
  const boxes = el("fieldset", { class: "choices" });
  const done = el("p", { class: "fine" });
  const cards = el("div", { class: "cards" });
  const text = el("textarea", {
    id: "compared",
    rows: 3,
    required: true,
    dir: "auto",
    spellcheck: "false",
    value: kept.text,
    input: () => (kept.text = text.value),
  });
  const search = el("input", { id: "compare-search", type: "search", placeholder: "Name, kind or state", input: () => choices() });
  const count = el("p", { class: "fine", role: "status" });

  function choices() {
    const able = allTasks().filter(takesText);
    kept.chosen ??= new Set(able.slice(0, AT_FIRST).map(({ name }) => name));
    const shown = able.filter((task) => matches(task, wordsIn(search.value))).slice(0, MOST);
    fill(boxes, el("legend", {}, "Tasks that take one text"), shown.map((task) => choice(task, tell)));
    tell();
  }

  function tell() {
    count.textContent = `${kept.chosen.size} chosen`;
  }

  async function run(event) {
    event.preventDefault();
    going.abort();
    going = new AbortController();
    const asked = allTasks().filter(({ name, kind }) => kept.chosen.has(name) && KINDS[kind]?.about);
    const places = new Map(asked.map((task) => [task.name, card(task)]));
    fill(cards, [...places.values()].map(({ element }) => element));
    const requests = asked.map(({ name, kind }) => ({ name, kind, ...requestOf(kind, text.value) }));
    const byName = new Map(requests.map((request) => [request.name, request]));
    let failed = 0;
    fill(done);
    const started = performance.now();
    try {
      await analyze(text.value, requests, (name, answer, error) => {
        if (error?.name === "AbortError") return;
        if (error) failed += 1;
        places.get(name).tell(byName.get(name), answer, error);
      }, going.signal);
      fill(done, `All answers came in ${milliseconds(performance.now() - started)}.`);
    } catch (error) {
      if (error.name !== "AbortError") fill(cards, errorBox(error));
    }
    announce(`${asked.length - failed} of ${asked.length} tasks have answered`);
  }

  const form = el(
    "form",
    { class: "form", submit: run },
    el("div", { class: "field" }, el("label", { for: "compared" }, "Text"), text),
    el("div", { class: "field" }, el("label", { for: "compare-search" }, "Find tasks"), search),
    boxes,
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "main" }, "Compare"), count),
  );
  fill(place, el("h1", {}, "Compare tasks"), el("p", { class: "what" }, "One text, many tasks: their answers side by side."), form, done, cards);
  choices();
  let known = names();
  const stop = onTasks(() => {
    if (names() === known) return; // the boxes stay under the reader's hands
    known = names();
    choices();
  });
  return () => {
    stop();
    going.abort();
  };
}

const names = () => JSON.stringify(allTasks().map(({ name, kind }) => [name, kind]));

function requestOf(kind, text) {
  const values = KINDS[kind].about(text);
  const parameters = kind === "token-classification" ? { aggregation_strategy: "first" } : {};
  return { values, parameters: bodyOf(kind, values, parameters).parameters ?? {} };
}

function choice({ name, kind }, tell) {
  const id = nextId();
  const box = el("input", { id, type: "checkbox", value: name, change: take });
  box.checked = kept.chosen.has(name);
  function take() {
    if (box.checked) kept.chosen.add(name);
    else kept.chosen.delete(name);
    tell();
  }
  return el("div", { class: "choice" }, box, el("label", { for: id }, name, el("span", { class: "fine" }, ` ${wordsOf(kind)}`)));
}

/** A card that waits for its answer. */
function card({ name, kind }) {
  const inside = el("div", { class: "picture", "aria-busy": "true" }, el("p", { class: "fine" }, "Waiting …"));
  const element = el(
    "section",
    { class: "card", "aria-label": name },
    el(
      "div",
      { class: "title" },
      el("h2", {}, el("a", { href: `#try/${encodeURIComponent(name)}`, title: taskPath(name) }, name)),
      el("span", { class: "fine" }, wordsOf(kind)),
    ),
    inside,
  );
  function tell({ values }, answer, error) {
    inside.removeAttribute("aria-busy");
    if (error) fill(inside, errorBox(error));
    else fill(inside, el("p", { class: "unseen" }, inWords(kind, answer.outputs)), picture(kind, answer.outputs, values), factsOf(answer));
  }
  return { element, tell };
}
