/** Code with a button that copies it. */

import { announce, el } from "./dom.js";

const AGAIN = 1600;

/** A block of code. */
export function copyable(label, text) {
  const code = el("pre", { class: "code", tabindex: 0, role: "group", "aria-label": label }, text);
  const button = el("button", { type: "button", class: "copy", click: copy }, "Copy");
  async function copy() {
    const done = await copyText(text, code);
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    announce(done ? `The ${label} was copied` : `The ${label} is selected: press Ctrl+C`);
    setTimeout(() => (button.textContent = "Copy"), AGAIN);
  }
  return el("div", { class: "copyable" }, code, button);
}

/** Without https only a selection can be copied. */
async function copyText(text, code) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}
