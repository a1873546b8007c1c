/** Tabs as the ARIA practices describe them: arrows move, Tab leaves. */

import { el, nextId } from "./dom.js";

/**
 * Tabs with a panel each.
 * @param {string} label what they are, for screen readers.
 * @param {[string, Node][]} all titles with what they show.
 * @param {(title: string) => void} [chosen] called when another one is chosen.
 */
export function tabs(label, all, chosen = () => {}) {
  const pairs = all.map(([title, content]) => {
    const [tabId, panelId] = [nextId(), nextId()];
    const panel = el("div", { role: "tabpanel", id: panelId, "aria-labelledby": tabId }, content);
    const tab = el("button", { type: "button", role: "tab", id: tabId, "aria-controls": panelId }, title);
    return { title, tab, panel };
  });

  function choose(index, focus) {
    pairs.forEach(({ tab, panel }, number) => {
      tab.setAttribute("aria-selected", number === index);
      tab.tabIndex = number === index ? 0 : -1;
      panel.hidden = number !== index;
    });
    if (focus) pairs[index].tab.focus();
  }

  pairs.forEach(({ title, tab }, number) => {
    tab.addEventListener("click", () => {
      choose(number, false);
      chosen(title);
    });
  });
  const list = el("div", { class: "tabs", role: "tablist", "aria-label": label }, pairs.map(({ tab }) => tab));
  list.addEventListener("keydown", (event) => {
    const at = pairs.findIndex(({ tab }) => tab === document.activeElement);
    const last = pairs.length - 1;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const index = (to + pairs.length) % pairs.length;
    choose(index, true);
    chosen(pairs[index].title);
  });
  choose(0, false);
  return el("div", { class: "tabbed" }, list, pairs.map(({ panel }) => panel));
}
