/** What was just run, as curl and as Python to copy; the key is never written into them. */

import { address } from "./api.js";

const KEY = "POLYHEAD_API_KEY";

/**
 * A shell command.
 * @param {string} path relative to the page.
 */
export function curl(path, body, hasKey) {
  const parts = [`curl -sf ${quoted(address(path))}`, "-H 'content-type: application/json'"];
  if (hasKey) parts.push(`-H "authorization: Bearer $${KEY}"`);
  parts.push(`-d ${quoted(JSON.stringify(body))}`);
  return parts.join(" \\\n    ");
}

/** A Python script: with `InferenceClient` where it has a method for the kind. */
export function python(kind, path, body, hasKey) {
  const call = path.includes("?") ? null : METHODS[kind]?.(body);
  return call ? withClient(path, call, hasKey) : withLibrary(path, body, hasKey);
}

/** A client's call by kind: `[code before the call, method, arguments]`; null where it has none. */
const METHODS = {
  "text-classification": ({ inputs }) =>
    typeof inputs === "string" ? ["text_classification", [literal(inputs)]] : null,
  "token-classification": ({ inputs, parameters }) => [
    "token_classification",
    [literal(inputs), ...keywords(parameters)],
  ],
  "question-answering": ({ inputs, parameters }) => [
    "question_answering",
    [...keywords(inputs), ...keywords(parameters)],
  ],
  "sentence-similarity": ({ inputs }) => [
    "sentence_similarity",
    [literal(inputs.source_sentence), `other_sentences=${literal(inputs.sentences)}`],
  ],
  "feature-extraction": ({ inputs }) =>
    inputs.length === 1 ? ["feature_extraction", [literal(inputs[0])]] : null,
  "fill-mask": ({ inputs, parameters }) => ["fill_mask", [literal(inputs), ...keywords(parameters)]],
  "zero-shot-classification": ({ inputs, parameters }) => [
    "zero_shot_classification",
    [literal(inputs), ...keywords(parameters)],
  ],
  "text-generation": ({ inputs, parameters }) => [
    "text_generation",
    [literal(inputs), ...keywords(parameters)],
  ],
};

function withClient(path, [method, given], hasKey) {
  const token = hasKey ? `, token=os.environ["${KEY}"]` : "";
  return [
    ...(hasKey ? ["import os", ""] : []),
    "from huggingface_hub import InferenceClient",
    "",
    `client = InferenceClient(model=${literal(address(path))}${token})`,
    `answer = client.${method}(`,
    ...given.map((each) => `    ${each},`),
    ")",
    "print(answer)",
  ].join("\n");
}

function withLibrary(path, body, hasKey) {
  const headers = ['"content-type": "application/json"'];
  if (hasKey) headers.push(`"authorization": f"Bearer {os.environ['${KEY}']}"`);
  return [
    "import json",
    ...(hasKey ? ["import os"] : []),
    "from urllib.request import Request, urlopen",
    "",
    `body = ${literal(body)}`,
    "request = Request(",
    `    ${literal(address(path))},`,
    "    data=json.dumps(body).encode(),",
    `    headers={${headers.join(", ")}},`,
    ")",
    "with urlopen(request) as response:",
    "    print(json.load(response))",
  ].join("\n");
}

function keywords(named = {}) {
  return Object.entries(named).map(([name, value]) => `${name}=${literal(value)}`);
}

/** A value as Python writes it. */
export function literal(value) {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    const members = Object.entries(value).map(([name, each]) => `${literal(name)}: ${literal(each)}`);
    return `{${members.join(", ")}}`;
  }
  return JSON.stringify(value); // numbers, and strings: JSON's escapes are Python's
}

/** A word that a POSIX shell takes as it stands. */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
