/** A table that opens on demand: what a picture says, for whoever cannot or would not see it. */

import { el } from "../dom.js";

/**
 * A folded table.
 * @param {string} title what is written on the fold.
 * @param {string[]} heads column titles.
 * @param {(string|number)[][]} rows cells.
 */
export function table(title, heads, rows) {
  return el(
    "details",
    { class: "folded" },
    el("summary", {}, title),
    el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": title }, plainTable(heads, rows)),
  );
}

/** A table that is always there. */
export function plainTable(heads, rows, caption) {
  return el(
    "table",
    {},
    caption && el("caption", {}, caption),
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell))))),
  );
}
