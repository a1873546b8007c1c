/** A parse: arcs from each governing word to its dependants, above the sentence. */

import { el, svg } from "../dom.js";
import { percent } from "./bars.js";
import { table } from "./table.js";

const [GAP, STEP, SIZE] = [22, 26, 15];

/** Arcs over the words, and the same as a table. */
export function drawParse(outputs) {
  const arcs = leveled(outputs);
  const places = placed(outputs.map(({ word }) => word));
  const height = STEP * (Math.max(0, ...arcs.map(({ level }) => level)) + 1.5);
  const width = places.at(-1).end + GAP;
  return el(
    "div",
    {},
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": "Arcs" },
      svg(
        "svg",
        { class: "parse", width, height: height + 2 * SIZE, role: "img", "aria-label": sayParse(outputs) },
        arcs.map((arc) => drawArc(arc, places, height)),
        outputs.map(({ word }, index) =>
          svg("text", { class: "word", x: places[index].middle, y: height + SIZE }, word),
        ),
      ),
    ),
    table(
      "As a table",
      ["Number", "Word", "Governed by", "Relation", "Score"],
      outputs.map(({ word, head, label, score }, index) => [
        index + 1,
        word,
        head ? outputs[head - 1].word : "root",
        label,
        percent(score),
      ]),
    ),
  );
}

/** The parse in words. */
export function sayParse(outputs) {
  return outputs
    .map(({ word, head, label }) => `${word}: ${label}${head ? ` of ${outputs[head - 1].word}` : ""}`)
    .join("; ");
}

/** Each arc as high as what it spans makes necessary. */
function leveled(outputs) {
  const all = outputs.map(({ head, label }, index) => {
    const from = head ? head - 1 : index;
    return { from, to: index, label, left: Math.min(from, index), right: Math.max(from, index), isRoot: !head };
  });
  all.sort((a, b) => a.right - a.left - (b.right - b.left));
  for (const [place, arc] of all.entries()) {
    const below = all.slice(0, place).filter((other) => other.left < arc.right && other.right > arc.left);
    arc.level = arc.isRoot ? 0 : 1 + Math.max(0, ...below.map(({ level }) => level));
  }
  const top = Math.max(0, ...all.map(({ level }) => level));
  for (const arc of all) if (arc.isRoot) arc.level = top + 0.5;
  return all;
}

function placed(words) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `${SIZE}px ${getComputedStyle(document.body).fontFamily}`;
  let at = GAP;
  return words.map((word) => {
    const width = Math.max(46, pen.measureText(word).width);
    const place = { middle: at + width / 2, end: at + width };
    at = place.end + GAP;
    return place;
  });
}

function drawArc({ from, to, label, level, isRoot }, places, height) {
  const [start, end] = [places[from].middle, places[to].middle];
  const top = height - STEP * level;
  const foot = height - 4;
  const shift = isRoot ? 0 : Math.sign(end - start) * 5; // so that arcs do not meet in one point
  const bend = Math.sign(end - start) * Math.min(14, Math.abs(end - start) / 3);
  const line = isRoot
    ? `M${end} ${top}V${foot}`
    : `M${start + shift} ${foot}V${top + 8}Q${start + shift} ${top} ${start + shift + bend} ${top}` +
      `H${end - bend}Q${end} ${top} ${end} ${top + 8}V${foot}`;
  return svg(
    "g",
    { class: "arc" },
    svg("path", { d: line }),
    svg("path", { class: "tip", d: `M${end - 4} ${foot - 6}L${end} ${foot + 1}L${end + 4} ${foot - 6}Z` }),
    svg("text", { x: isRoot ? end : (start + end) / 2, y: top - 4 }, label),
  );
}
