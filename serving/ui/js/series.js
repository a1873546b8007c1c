/** Metrics in Prometheus' text format, and what two readings of them say about the time between. */

/** The metrics that are read. */
export const NAMES = [
  "polyhead_requests_total",
  "polyhead_queue_tokens",
  "polyhead_requests_inside",
  "polyhead_queue_seconds_sum",
  "polyhead_queue_seconds_count",
  "polyhead_batch_tokens_sum",
  "polyhead_batch_tasks_sum",
  "polyhead_batch_tasks_count",
  "polyhead_resident_adapters",
  "polyhead_resident_bytes",
];
const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Samples by metric: each its labels and its value. */
export function samplesIn(text) {
  const found = new Map(NAMES.map((name) => [name, []]));
  for (const line of text.split("\n")) {
    const [, name, labels, value] = LINE.exec(line) ?? [];
    found.get(name)?.push({ labels: labelsIn(labels ?? ""), value: Number(value) });
  }
  return found;
}

function labelsIn(text) {
  const pairs = [...text.matchAll(LABEL)];
  return Object.fromEntries(pairs.map(([, name, value]) => [name, value.replace(/\\(.)/g, unescaped)]));
}

const unescaped = (_, character) => (character === "n" ? "\n" : character);

/**
 * What happened between two readings.
 * @param {{at: number, samples: Map}} before at some time in milliseconds.
 * @param {{at: number, samples: Map}} after later.
 */
export function reading(before, after) {
  const seconds = (after.at - before.at) / 1000;
  const gained = (name) => Math.max(0, total(after, name) - total(before, name));
  const rate = (name) => gained(name) / seconds;
  const mean = (name) => (gained(`${name}_count`) ? gained(`${name}_sum`) / gained(`${name}_count`) : 0);
  return {
    at: after.at,
    answered: Math.max(0, requests(after, true) - requests(before, true)) / seconds,
    refused: Math.max(0, requests(after, false) - requests(before, false)) / seconds,
    tokens: rate("polyhead_batch_tokens_sum"),
    queueTokens: total(after, "polyhead_queue_tokens"),
    queueSeconds: mean("polyhead_queue_seconds"),
    batchTasks: mean("polyhead_batch_tasks"),
    inside: total(after, "polyhead_requests_inside"),
    adaptersDevice: tier(after, "polyhead_resident_adapters", "device"),
    adaptersHost: tier(after, "polyhead_resident_adapters", "host"),
    bytesDevice: tier(after, "polyhead_resident_bytes", "device"),
    bytesHost: tier(after, "polyhead_resident_bytes", "host"),
    byTask: busiest(before, after, seconds),
  };
}

const sum = (samples) => samples.reduce((all, { value }) => all + value, 0);
const total = ({ samples }, name) => sum(samples.get(name));
const tier = ({ samples }, name, wanted) =>
  sum(samples.get(name).filter(({ labels }) => labels.tier === wanted));

/** Requests that ended well, or the others. */
const requests = ({ samples }, isGood) =>
  sum(samples.get("polyhead_requests_total").filter(({ labels }) => labels.status.startsWith("2") === isGood));

/** Tasks by requests a second, the busiest first. */
function busiest(before, after, seconds) {
  const then = byTask(before);
  return [...byTask(after)]
    .map(([task, count]) => [task, (count - (then.get(task) ?? 0)) / seconds])
    .filter(([, rate]) => rate > 0)
    .sort(([, a], [, b]) => b - a);
}

function byTask({ samples }) {
  const found = new Map();
  for (const { labels, value } of samples.get("polyhead_requests_total")) {
    found.set(labels.task, (found.get(labels.task) ?? 0) + value);
  }
  return found;
}
