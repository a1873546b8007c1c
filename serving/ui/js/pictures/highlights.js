/** A text with marked pieces: tagged words and names, and answers in their passage. */

import { el } from "../dom.js";
import { bars, percent } from "./bars.js";
import { table } from "./table.js";

const HUES = 8;

/** Tagged words in their text, a key to the tags, and the same as a table. */
export function drawEntities(outputs, { text }) {
  const found = outputs.map((each) => ({ ...each, label: each.entity_group ?? each.entity }));
  if (!found.length) return el("p", {}, "Nothing was found in this text.");
  const counts = new Map();
  for (const { label } of found) counts.set(label, (counts.get(label) ?? 0) + 1);
  const hues = new Map([...counts.keys()].sort().map((label, place) => [label, place % HUES]));
  return el(
    "div",
    {},
    el("p", { class: "marked", dir: "auto" }, pieces(text, found, (piece, each) => entity(piece, each, hues))),
    el(
      "ul",
      { class: "key-list", "aria-label": "Tags" },
      [...counts].map(([label, count]) => el("li", { "data-hue": hues.get(label) }, `${label} ${count}`)),
    ),
    table(
      "As a table",
      ["Word", "Tag", "Score"],
      found.map(({ word, label, score }) => [word, label, percent(score)]),
    ),
  );
}

/** How many tags, in words. */
export function sayEntities(outputs) {
  const shown = outputs.slice(0, 12).map((each) => `${each.word} ${each.entity_group ?? each.entity}`);
  return outputs.length ? `${outputs.length} found: ${shown.join(", ")}` : "Nothing was found";
}

/** The best answer marked in its passage, and all answers with their scores. */
export function drawSpans(outputs, { context }) {
  const answers = [outputs].flat();
  const [best] = answers;
  if (!best?.answer) return el("p", {}, "The passage holds no answer to this question.");
  return el(
    "div",
    {},
    el("p", { class: "answer", dir: "auto" }, best.answer),
    el("p", { class: "marked", dir: "auto" }, pieces(context, [best], (piece) => el("mark", { class: "span" }, piece))),
    bars(answers.map(({ answer, score }) => ({ label: answer || "no answer", score }))),
  );
}

/** The best answer in words. */
export function saySpans(outputs) {
  const [best] = [outputs].flat();
  return best?.answer ? `${best.answer}, ${percent(best.score)}` : "No answer";
}

/** What a model wrote after a text. */
export function drawGenerated(outputs, { text }) {
  return el("p", { class: "marked", dir: "auto" }, ...continued(text, writtenIn(outputs)));
}

/** What a model wrote. */
export const sayGenerated = (outputs) => writtenIn(outputs);

const writtenIn = (outputs) => [outputs].flat()[0]?.generated_text ?? "";

function continued(text, written) {
  const own = written.startsWith(text) ? written.slice(text.length) : written;
  return [text, el("mark", { class: "span" }, own)];
}

/** A text cut at the marks; the server counts characters, not UTF-16 units. */
function pieces(text, marks, draw) {
  const characters = Array.from(text);
  const parts = [];
  let at = 0;
  for (const mark of marks.toSorted((a, b) => a.start - b.start)) {
    if (mark.start < at) continue; // it overlaps the one before
    parts.push(characters.slice(at, mark.start).join(""));
    parts.push(draw(characters.slice(mark.start, mark.end).join(""), mark));
    at = mark.end;
  }
  return [...parts, characters.slice(at).join("")];
}

function entity(piece, { label, score }, hues) {
  return el(
    "mark",
    { class: "entity", "data-hue": hues.get(label), title: `${label}, ${percent(score)}` },
    piece,
    el("span", { class: "tag" }, label),
  );
}
