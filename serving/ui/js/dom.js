/** Elements from names and values. Text goes in as text: there is no way to pass HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element.
 * @param {string} tag its name.
 * @param {object} props attributes; functions listen to the event of their name.
 * @param {...(Node|string|number|null|false|undefined)} children what is inside; nothing for null.
 */
export function el(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** An SVG element; see `el`. */
export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

/** Puts other children in place of an element's own. */
export function fill(element, ...children) {
  element.replaceChildren(...shown(children));
  return element;
}

/** Tells screen readers something without moving the focus. */
export function announce(text) {
  document.getElementById("announcements").textContent = text;
}

/** A number that makes an id unique on the page. */
export const nextId = ((count) => () => `id-${++count}`)(0);

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...shown(children));
  return element;
}

function shown(children) {
  return children
    .flat()
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}
