/** Vectors: how alike texts are as a matrix, each vector as a strip; and sentences ranked. */

import { el, svg } from "../dom.js";
import { bars } from "./bars.js";

const MOST = 16;
const CELLS = 64;

/** A matrix of cosines, and each text with its vector. */
export function drawVectors(outputs, { texts }) {
  const sentences = texts.split("\n").map((line) => line.trim()).filter(Boolean);
  const vectors = outputs.slice(0, MOST);
  return el(
    "div",
    {},
    vectors.length > 1 && matrix(vectors, sentences),
    el("ol", { class: "vectors" }, vectors.map((vector, place) => strip(vector, sentences[place]))),
    outputs.length > MOST && el("p", { class: "fine" }, `The first ${MOST} of ${outputs.length} are drawn.`),
  );
}

/** How alike the texts are, in words. */
export function sayVectors(outputs) {
  const [first] = outputs;
  const vectors = `${outputs.length} ${outputs.length === 1 ? "vector" : "vectors"} of ${first.length} numbers`;
  if (outputs.length < 2) return vectors;
  return `${vectors}; the first two are ${cosine(first, outputs[1]).toFixed(2)} alike`;
}

/** Sentences by how alike they are to the first one. */
export function drawSimilarities(outputs, { sentences }) {
  const lines = sentences.split("\n").map((line) => line.trim()).filter(Boolean);
  return bars(outputs.map((score, place) => ({ label: lines[place], score })));
}

/** The most alike sentence's score. */
export const saySimilarities = (outputs) => `The most alike scores ${Math.max(...outputs).toFixed(2)}`;

/** Texts by rank: `[{index, score}]`, or scores in the texts' order. */
export function drawRanking(outputs, { texts }) {
  const lines = texts.split("\n").map((line) => line.trim()).filter(Boolean);
  const rows = outputs.flat().map((each, place) =>
    typeof each === "number" ? { index: place, score: each } : { index: each.index ?? place, score: each.score },
  );
  return bars(rows.map(({ index, score }) => ({ label: lines[index], score })));
}

/** How many were ranked. */
export const sayRanking = (outputs) => `${outputs.flat().length} texts ranked`;

function cosine(a, b) {
  let product = 0;
  let [left, right] = [0, 0];
  for (let place = 0; place < a.length; place++) {
    product += a[place] * b[place];
    left += a[place] ** 2;
    right += b[place] ** 2;
  }
  return product / (Math.sqrt(left * right) || 1);
}

function matrix(vectors, sentences) {
  const numbers = vectors.map((_, place) => place + 1);
  const head = el("tr", {}, el("td"), numbers.map((number) => el("th", { scope: "col" }, number)));
  const rows = vectors.map((one, row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", title: sentences[row] }, numbers[row]),
      vectors.map((other) => cell(cosine(one, other))),
    ),
  );
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": "Similarity matrix" },
    el("table", { class: "matrix" }, el("caption", {}, "How alike the texts are: cosines"), el("thead", {}, head), el("tbody", {}, rows)),
  );
}

function cell(value) {
  const shown = el("td", {}, value.toFixed(2));
  shown.style.setProperty("--warmth", Math.max(0, value));
  return shown;
}

function strip(vector, sentence) {
  const cells = averaged(vector);
  const most = Math.max(...cells.map(Math.abs)) || 1;
  const drawn = cells.map((value, place) =>
    svg("rect", {
      x: place,
      width: 1,
      height: 6,
      class: value < 0 ? "below" : "above",
      "fill-opacity": (Math.abs(value) / most).toFixed(2),
    }),
  );
  return el(
    "li",
    {},
    el("span", { class: "bar-label", dir: "auto" }, sentence),
    svg("svg", { class: "strip", viewBox: `0 0 ${cells.length} 6`, preserveAspectRatio: "none", "aria-hidden": "true" }, drawn),
    el("span", { class: "fine" }, `${vector.length} numbers, length ${Math.hypot(...vector).toFixed(2)}`),
  );
}

/** A vector in few enough cells to be seen. */
function averaged(vector) {
  const each = Math.max(1, Math.ceil(vector.length / CELLS));
  const cells = [];
  for (let from = 0; from < vector.length; from += each) {
    const part = vector.slice(from, from + each);
    cells.push(part.reduce((sum, value) => sum + value, 0) / part.length);
  }
  return cells;
}
