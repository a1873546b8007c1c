/** Labels with scores, as bars: classes, choices, and words for a gap. */

import { el } from "../dom.js";

const FIRST = 8;

/** A score for people: a share as per cent, any other number as it is. */
export function percent(score) {
  return score >= 0 && score <= 1 ? `${(100 * score).toFixed(1)} %` : score.toFixed(3);
}

/**
 * Bars, longest first; a long list is shown in part until it is asked for.
 * @param {{label: string, score: number, note?: string}[]} rows what to draw.
 */
export function bars(rows) {
  const sorted = rows.toSorted((a, b) => b.score - a.score);
  const most = Math.max(1, ...sorted.map(({ score }) => Math.abs(score)));
  const items = sorted.map((row, place) => bar(row, Math.abs(row.score) / most, place));
  const list = el("ol", { class: "bars" }, items.slice(0, FIRST));
  const rest = items.slice(FIRST);
  if (!rest.length) return list;
  const more = el("button", { type: "button", class: "quiet", click: showAll }, `Show ${rest.length} more`);
  function showAll() {
    list.append(...rest);
    more.remove();
    rest[0].tabIndex = -1;
    rest[0].focus();
  }
  return el("div", {}, list, more);
}

function bar({ label, score, note }, share, place) {
  const filling = el("span", { class: "filling" });
  filling.style.setProperty("--share", Math.max(0, share));
  return el(
    "li",
    { class: place === 0 ? "bar-row best" : "bar-row" },
    el("span", { class: "bar-label", dir: "auto" }, label, note && el("span", { class: "fine" }, ` ${note}`)),
    el("span", { class: "score" }, percent(score)),
    el("span", { class: "track", "aria-hidden": "true" }, filling),
  );
}

/** Classes of one text: `[[{label, score}]]`, or the same without the outer list. */
export function drawLabels(outputs) {
  return bars(labelsIn(outputs));
}

/** The best class in words. */
export function sayLabels(outputs) {
  const [best] = labelsIn(outputs).toSorted((a, b) => b.score - a.score);
  return best ? `${best.label}, ${percent(best.score)}` : "No label";
}

/** Pairs of label and score in any of the shapes that classifiers answer in. */
function labelsIn(outputs) {
  if (Array.isArray(outputs)) return outputs.flat();
  return outputs.labels.map((label, place) => ({ label, score: outputs.scores[place] }));
}
