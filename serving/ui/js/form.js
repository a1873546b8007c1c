/** A form from a kind's fields and options. */

import { el, nextId } from "./dom.js";
import { kindOf } from "./kinds.js";

/**
 * A form for one kind.
 * @param {string} kind which one.
 * @param {object} values what its fields hold at first.
 * @param {() => void} submit called when it is sent, by the button or Ctrl+Enter.
 * @returns {{element: Element, values: () => object, options: () => object}}
 */
export function formOf(kind, values, submit) {
  const row = kindOf(kind);
  const fields = row.fields.map((field) => ({ ...field, input: textField(field, values[field.name]) }));
  const options = (row.options ?? []).map((option) => ({ ...option, input: optionField(option) }));
  const element = el(
    "form",
    {
      class: "form",
      submit: (event) => {
        event.preventDefault();
        submit();
      },
      keydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element.requestSubmit();
      },
    },
    fields.map(({ label, input, optional }) =>
      optional ? foldedBox(label, input) : fieldBox(label, input),
    ),
    options.length > 0 &&
      el("div", { class: "options" }, options.map(({ label, input }) => fieldBox(label, input))),
  );
  return {
    element,
    values: () => Object.fromEntries(fields.map(({ name, input }) => [name, input.value])),
    options: () => Object.fromEntries(options.map(({ name, input }) => [name, valueOf(input)])),
  };
}

function fieldBox(label, input) {
  const name = el("label", { for: input.id }, label);
  return el("div", { class: input.type === "checkbox" ? "field check" : "field" }, name, input);
}

/** A field that few need: open where it holds something. */
function foldedBox(label, input) {
  const box = fieldBox(label, input);
  return el("details", { class: "folded", open: input.value !== "" }, el("summary", {}, `Add: ${label}`), box);
}

function textField({ rows, required }, value = "") {
  return el("textarea", { id: nextId(), rows, required, dir: "auto", spellcheck: "false", value });
}

function optionField({ choices, number, check, value }) {
  const id = nextId();
  if (choices) {
    return el("select", { id }, choices.map(([name, words]) => el("option", { value: name }, words)));
  }
  if (check) return el("input", { id, type: "checkbox" });
  if (number) return el("input", { id, type: "number", min: number[0], max: number[1], value });
  return el("input", { id, type: "text", dir: "auto", value });
}

function valueOf(input) {
  if (input.type === "checkbox") return input.checked || "";
  if (input.type === "number") return input.value && Number(input.value);
  return input.value;
}
