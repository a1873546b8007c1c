/** What a task is: its name, kind, state, version, residency, labels and limits. */

import { el } from "./dom.js";
import { hasLabels, wordsOf } from "./kinds.js";
import { residencyWords, stateChip } from "./tasklist.js";

const MOST_LABELS = 12;

/** A task's head, as a list of elements. */
export function headOf(task) {
  return [
    el(
      "div",
      { class: "title" },
      el("h1", {}, task.name),
      stateChip(task.state),
      task.kind && el("span", { class: "pill" }, wordsOf(task.kind)),
    ),
    el("p", { class: "fine" }, factsOf(task).filter(Boolean).join(" · ")),
    task.reason && el("p", { class: "reason" }, task.reason),
    hasLabels(task.kind) && labelsOf(task.labels ?? []),
  ];
}

function factsOf({ state, version, residency, limits, versions = [] }) {
  const ready = versions.filter(({ state }) => state === "ready").length;
  return [
    state === "pending" && "read and checked when it is first asked",
    version && `version ${version}`,
    ready > 1 && `one of ${ready}`,
    residencyWords(residency) && `weights ${residencyWords(residency)}`,
    limits?.max_tokens && `up to ${limits.max_tokens} tokens`,
    limits?.overflow && OVERFLOW[limits.overflow],
  ];
}

const OVERFLOW = {
  truncate: "longer inputs are cut",
  window: "longer inputs are read in windows",
  reject: "longer inputs are refused",
};

function labelsOf(labels) {
  if (!labels.length) return null;
  const rest = labels.length - MOST_LABELS;
  return el(
    "ul",
    { class: "labels", "aria-label": "Labels" },
    labels.slice(0, MOST_LABELS).map((label) => el("li", {}, label)),
    rest > 0 && el("li", { class: "fine" }, `and ${rest} more`),
  );
}
