/** Words for a gap: each mask's candidates, and the text with the best one in place. */

import { el } from "../dom.js";
import { bars, percent } from "./bars.js";

/** Candidates of each mask. */
export function drawFills(outputs) {
  const masks = Array.isArray(outputs[0]) ? outputs : [outputs];
  return el(
    "div",
    {},
    masks.map((fills, place) => [
      masks.length > 1 && el("p", { class: "fine" }, `Gap ${place + 1}`),
      masks.length === 1 && el("p", { class: "answer", dir: "auto" }, fills[0].sequence),
      bars(fills.map(({ token_str, score, token }) => ({ label: token_str, score, note: `token ${token}` }))),
    ]).flat(),
  );
}

/** The best word in words. */
export function sayFills(outputs) {
  const [best] = outputs.flat();
  return best ? `${best.token_str.trim()}, ${percent(best.score)}` : "Nothing fits";
}
