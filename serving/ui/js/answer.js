/** An answer as a picture, in one line, and with how it came about. */

import { el } from "./dom.js";
import { drawParse, sayParse } from "./pictures/arcs.js";
import { drawLabels, sayLabels } from "./pictures/bars.js";
import { drawFills, sayFills } from "./pictures/gaps.js";
import { drawEntities, drawGenerated, drawSpans, sayEntities, sayGenerated, saySpans } from "./pictures/highlights.js";
import { drawRanking, drawSimilarities, drawVectors, sayRanking, saySimilarities, sayVectors } from "./pictures/vectors.js";
import { residencyWords } from "./tasklist.js";

const PICTURES = {
  "text-classification": [drawLabels, sayLabels],
  "token-classification": [drawEntities, sayEntities],
  "question-answering": [drawSpans, saySpans],
  "multiple-choice": [drawLabels, sayLabels],
  "feature-extraction": [drawVectors, sayVectors],
  "sentence-similarity": [drawSimilarities, saySimilarities],
  "fill-mask": [drawFills, sayFills],
  "zero-shot-classification": [drawLabels, sayLabels],
  "text-ranking": [drawRanking, sayRanking],
  "text-generation": [drawGenerated, sayGenerated],
  "dependency-parsing": [drawParse, sayParse],
};
/** A time in words. */
export const milliseconds = (value) => `${Number(value).toFixed(1)} ms`;

/** What headers say of an answer, in the order in which it is shown. */
const FACTS = [
  ["x-task-version", "Version", (value) => value],
  ["x-adapter-residency", "Weights were", residencyWords],
  ["x-encode-time", "Reading the text", milliseconds],
  ["x-queue-time", "In the queue", milliseconds],
  ["x-inference-time", "Computing", milliseconds],
  ["x-batch-tokens", "Tokens in its batch", (value) => value],
  ["x-batch-tasks", "Tasks in its batch", (value) => value],
];

/** Those that differ between tasks that one request has asked. */
const OWN = new Set(["x-task-version", "x-adapter-residency", "x-queue-time", "x-inference-time"]);

/** The picture of an answer; JSON where the kind, or the answer's shape, is not known. */
export function picture(kind, outputs, values) {
  try {
    return PICTURES[kind][0](outputs, values);
  } catch {
    return jsonOf(outputs);
  }
}

/** An answer in one line, for screen readers. */
export function inWords(kind, outputs) {
  try {
    return PICTURES[kind][1](outputs);
  } catch {
    return "It is shown as JSON.";
  }
}

/** Which version answered, where its weights were, and where the time went; of one among several what is its own. */
export function factsOf({ headers, took }) {
  const known = FACTS.filter(([name]) => headers.has(name) && (took !== undefined || OWN.has(name)));
  const rows = known.map(([name, label, words]) => [label, words(headers.get(name))]);
  if (took !== undefined) rows.push(["Whole request", milliseconds(took)]);
  if (headers.get("x-truncated")) rows.push(["Input", "was cut to the task's limit"]);
  return el(
    "dl",
    { class: "facts" },
    rows.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))),
  );
}

/** Any value as indented JSON; long lists of numbers stay on their line. */
export function jsonOf(value) {
  const text = JSON.stringify(value, null, 2).replace(/\[\s+(-?\d[^\][{}"]*?)\s+\]/g, (_, numbers) =>
    `[${numbers.replace(/\s+/g, " ")}]`,
  );
  return el("pre", { class: "code", tabindex: 0, "aria-label": "Answer as JSON" }, text);
}
