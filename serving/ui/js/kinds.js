/** What each kind of task is asked: its fields, its example, and the request they make. */

const TEXT = { name: "text", label: "Text", rows: 4, required: true };
const FILM = "A warm, funny and beautifully acted film.";
const CITY = "Anna Falk flew from Lisbon to Oslo to repair the old lighthouse in May.";
const LIGHTHOUSE =
  "The lighthouse was built in 1874 on the island of Skerra, eleven miles off the northern coast. " +
  "Its lamp was first lit by the engineer Anna Falk, who kept it for thirty years.";
const SENTENCES = [
  "How do I reset my password?",
  "I forgot my login and need a new one.",
  "The weather in Oslo is fine today.",
  "It will be sunny in Norway.",
];

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const joined = (value) => (Array.isArray(value) ? value.join("\n") : value);
const named = (...names) => (inputs) => Object.fromEntries(names.map((name) => [name, joined(inputs[name] ?? "")]));
const fromText = (inputs) => (typeof inputs === "string" ? { text: inputs } : named("text", "text_pair")(inputs));
const asList = (name, label) => ({ name, label: `${label}, one per line`, rows: 5, required: true });

/** A word for "given at all". */
const given = (value) => value !== "" && value !== undefined;

/**
 * By the hub's pipeline tag:
 * - words, what: a name and a sentence for people; fromRequest: it answers with what the request names;
 * - fields: what is filled in; options: parameters;
 * - example: values to begin with; read: values from an example of the task's own;
 * - inputs: the request's inputs; about: values that ask about one plain text, where that can be.
 */
export const KINDS = {
  "text-classification": {
    words: "Classification",
    what: "Says which labels a text deserves.",
    fields: [TEXT, { name: "text_pair", label: "second text, for tasks about pairs", rows: 2, optional: true }],
    example: { text: FILM },
    read: fromText,
    inputs: ({ text, text_pair }) => (text_pair?.trim() ? { text, text_pair } : text),
    about: (text) => ({ text }),
  },
  "token-classification": {
    words: "Tagging",
    what: "Finds words and names in a text, and says what they are.",
    fields: [TEXT],
    options: [
      {
        name: "aggregation_strategy",
        label: "Pieces of words",
        choices: [
          ["first", "whole words, by their first piece"],
          ["average", "whole words, by the average"],
          ["max", "whole words, by the surest piece"],
          ["simple", "neighbours with one label"],
          ["none", "every piece by itself"],
        ],
      },
    ],
    example: { text: CITY },
    read: fromText,
    inputs: ({ text }) => text,
    about: (text) => ({ text }),
  },
  "question-answering": {
    words: "Question answering",
    what: "Finds the answer to a question in a passage.",
    fields: [
      { name: "question", label: "Question", rows: 1, required: true },
      { name: "context", label: "Passage", rows: 6, required: true },
    ],
    options: [{ name: "top_k", label: "Answers", number: [1, 20], value: 3 }],
    example: { question: "Where was the lighthouse built?", context: LIGHTHOUSE },
    read: named("question", "context"),
    inputs: ({ question, context }) => ({ question, context }),
  },
  "multiple-choice": {
    words: "Multiple choice",
    what: "Picks the choice that fits a situation best.",
    fields: [{ name: "context", label: "Situation", rows: 3, required: true }, asList("choices", "Choices")],
    example: {
      context: "Kai was very hungry after the long walk home. What will Kai want to do next?",
      choices: "eat a big meal\npaint the fence\nsell the house",
    },
    read: named("context", "choices"),
    inputs: ({ context, choices }) => ({ context, choices: lines(choices) }),
  },
  "feature-extraction": {
    words: "Embeddings",
    what: "Turns texts into vectors, and shows how alike they are.",
    fields: [asList("texts", "Texts")],
    example: { texts: SENTENCES.join("\n") },
    // One example would draw a matrix of one cell.
    inputs: ({ texts }) => lines(texts),
    about: (text) => ({ texts: text.replace(/\s+/g, " ") }),
  },
  "sentence-similarity": {
    words: "Similarity",
    what: "Ranks sentences by how much they mean the same as a first one.",
    fields: [
      { name: "source_sentence", label: "Sentence", rows: 2, required: true },
      asList("sentences", "Compared with"),
    ],
    example: { source_sentence: SENTENCES[0], sentences: SENTENCES.slice(1).join("\n") },
    read: named("source_sentence", "sentences"),
    inputs: ({ source_sentence, sentences }) => ({ source_sentence, sentences: lines(sentences) }),
  },
  "fill-mask": {
    words: "Fill the mask",
    what: "Says which words fit into a gap.",
    fields: [{ ...TEXT, label: "Text with a gap, written as the backbone's mask token", rows: 2 }],
    options: [{ name: "top_k", label: "Words", number: [1, 50], value: 5 }],
    example: { text: "The old dog [MASK] in the garden." },
    read: fromText,
    inputs: ({ text }) => text,
  },
  "zero-shot-classification": {
    words: "Zero-shot",
    fromRequest: true,
    what: "Says which of your own labels a text deserves.",
    fields: [TEXT, asList("candidate_labels", "Candidate labels")],
    options: [
      { name: "multi_label", label: "Several labels may hold", check: true },
      { name: "hypothesis_template", label: "Template", text: true, value: "This example is {}." },
    ],
    example: { text: FILM, candidate_labels: "film review\nweather report\ntravel booking" },
    read: (inputs) => (typeof inputs === "string" ? { text: inputs } : named("text", "candidate_labels")(inputs)),
    inputs: ({ text }) => text,
    parameters: ({ candidate_labels }) => ({ candidate_labels: lines(candidate_labels) }),
  },
  "text-ranking": {
    words: "Ranking",
    fromRequest: true,
    what: "Ranks texts by how well they answer a query.",
    fields: [{ name: "query", label: "Query", rows: 2, required: true }, asList("texts", "Texts")],
    example: { query: SENTENCES[0], texts: SENTENCES.slice(1).join("\n") },
    read: named("query", "texts"),
    inputs: ({ query, texts }) => ({ query, texts: lines(texts) }),
  },
  "text-generation": {
    words: "Generation",
    what: "Goes on with a text.",
    fields: [TEXT],
    example: { text: "The old dog sleeps in the" },
    read: fromText,
    inputs: ({ text }) => text,
    about: (text) => ({ text }),
  },
  "dependency-parsing": {
    words: "Parsing",
    what: "Says which word governs which.",
    fields: [{ name: "words", label: "Words, with blanks between them", rows: 2, required: true }],
    example: { words: "The old dog sleeps in the garden ." },
    read: (inputs) => ({ words: typeof inputs === "string" ? inputs : inputs.words.join(" ") }),
    inputs: ({ words }) => ({ words: words.split(/\s+/).filter(Boolean) }),
    about: (text) => ({ words: text }),
  },
};

/** A kind that this page does not know: its inputs are written as JSON. */
export const OTHER = {
  words: "Other",
  what: "Takes inputs as JSON.",
  fields: [{ name: "json", label: "Inputs, as JSON", rows: 6, required: true }],
  example: { json: '"A text."' },
  read: (inputs) => ({ json: JSON.stringify(inputs, null, 2) }),
  inputs: ({ json }) => JSON.parse(json),
};

/** Kinds that a task of a kind answers too. */
export const ALSO = {
  "feature-extraction": ["sentence-similarity"],
  "sentence-similarity": ["feature-extraction"],
};

/** What is known of a kind. */
export const kindOf = (kind) => KINDS[kind] ?? OTHER;

/** A kind's name for people; "" where nobody has read the task. */
export const wordsOf = (kind) => KINDS[kind]?.words ?? kind ?? "";

/** Whether a task of a kind answers with labels of its own, not with the request's. */
export const hasLabels = (kind) => !KINDS[kind]?.fromRequest;

/** The request's body from a kind's values and options. */
export function bodyOf(kind, values, options = {}) {
  const row = kindOf(kind);
  const set = Object.entries(options).filter(([, value]) => given(value));
  const parameters = { ...row.parameters?.(values), ...Object.fromEntries(set) };
  const body = { inputs: row.inputs(values) };
  return Object.keys(parameters).length ? { ...body, parameters } : body;
}
