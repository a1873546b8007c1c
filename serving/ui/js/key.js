/** The API key: asked for when the server wants one, kept for this tab only. */

import { announce, el, fill } from "./dom.js";

const NAME = "polyhead-key";
const listeners = new Set();
let wanted = false;
let unkept = ""; // where storage is forbidden, the key lives as long as the page

/** The key, or "". */
export function key() {
  try {
    return sessionStorage.getItem(NAME) ?? unkept;
  } catch {
    return unkept;
  }
}

/** Calls back after the key has changed. */
export function onKey(listener) {
  listeners.add(listener);
}

/** Shows the field: the server has refused a request without a right key. */
export function wantKey() {
  if (wanted) return;
  wanted = true;
  const button = document.getElementById("key-button");
  button.hidden = false;
  button.onclick = toggle;
  openPanel();
}

function keep(value) {
  unkept = value;
  try {
    if (value) sessionStorage.setItem(NAME, value);
    else sessionStorage.removeItem(NAME);
  } catch {
    // `unkept` holds it.
  }
  for (const listener of listeners) listener();
}

function toggle() {
  const panel = document.getElementById("key-panel");
  if (panel) panel.remove();
  else openPanel().querySelector("input").focus();
}

function openPanel() {
  const field = el("input", {
    id: "key-field",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "key-hint",
    value: key(),
  });
  const form = el(
    "form",
    { class: "key", id: "key-panel", submit: (event) => use(event, field.value.trim()) },
    el("label", { for: "key-field" }, "API key"),
    field,
    el("button", { type: "submit", class: "main" }, "Use this key"),
    key() && el("button", { type: "button", click: () => forget(form) }, "Forget it"),
    el(
      "p",
      { id: "key-hint" },
      "This server wants a key. It is kept for this tab only, and sent to this server only.",
    ),
  );
  document.querySelector(".bar").after(form);
  return form;
}

function use(event, value) {
  event.preventDefault();
  wanted = false; // if it is wrong, the field comes back
  event.target.remove();
  keep(value);
  announce("The key is used from now on.");
}

function forget(form) {
  fill(form);
  form.remove();
  keep("");
}
