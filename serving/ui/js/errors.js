/** An error in words: what happened, the server's own remedy, and what to quote when asking for help. */

import { el } from "./dom.js";

const WORDS = {
  0: "No answer",
  401: "A key is needed",
  403: "This key may not do that",
  404: "There is no such thing here",
  409: "It has changed meanwhile",
  410: "This version is retired",
  413: "That is too much at once",
  422: "The input is not right",
  424: "This task was rejected",
  429: "The server is full just now",
  500: "Something failed inside the server",
  503: "Not ready yet",
  504: "It took too long",
};

/** An error's title. */
export function titleOf(error) {
  return WORDS[error.status] ?? (error.status >= 500 ? WORDS[500] : "The request was refused");
}

/** A box with the error. */
export function errorBox(error) {
  const known = [
    error.status ? `status ${error.status}` : "",
    error.code && `code ${error.code}`,
    error.requestId && `request ${error.requestId}`,
  ];
  return el(
    "div",
    { class: "error", role: "alert" },
    el("p", { class: "error-title" }, titleOf(error)),
    el("p", {}, error.message),
    reasons((error.reasons ?? []).filter(({ message }) => !error.message.includes(message))),
    error.retryAfter && el("p", {}, `Another try may succeed in ${error.retryAfter} s.`),
    el("p", { class: "fine" }, known.filter(Boolean).join(" · ")),
  );
}

function reasons(all) {
  if (!all.length) return null;
  return el("ul", {}, all.map(({ code, message }) => el("li", {}, el("code", {}, code), ` ${message}`)));
}
