/** Talks to the server. Every address is relative to the page, so that a path prefix stays. */

import { key, wantKey } from "./key.js";

/** How many tasks one request names: half of what a server takes by default. */
const MOST_TASKS = 32;
const HEADERS = [
  ["x-task-version", "version"],
  ["x-adapter-residency", "residency"],
  ["x-encode-time", "encode_ms"],
  ["x-queue-time", "queue_ms"],
  ["x-inference-time", "inference_ms"],
  ["x-batch-tokens", "batch_tokens"],
  ["x-batch-tasks", "batch_tasks"],
  ["x-truncated", "truncated"],
];
const BASE = new URL(".", document.baseURI);

/** What the server refused, or why it could not be asked. */
export class Refused extends Error {
  constructor(status, content, retryAfter) {
    super(content.error ?? "The server did not say why.");
    this.status = status;
    this.code = content.code ?? "";
    this.requestId = content.request_id ?? "";
    this.reasons = content.reasons ?? [];
    this.results = content.results;
    this.retryAfter = retryAfter;
  }
}

/** The whole address of a path on this server. */
export function address(path) {
  return new URL(path, BASE).href;
}

/** Where a task is asked, relative to the page. */
export function taskPath(name, version) {
  const path = `models/${encodeURIComponent(name)}`;
  return version ? `${path}?version=${encodeURIComponent(version)}` : path;
}

/** All tasks, as `GET /tasks` lists them. */
export async function listTasks() {
  return (await ask("tasks")).content.tasks;
}

/** Everything that is known of one task. */
export async function describeTask(name) {
  return (await ask(taskPath(name))).content;
}

/** Release, backbone and device. */
export async function info() {
  return (await ask("info")).content;
}

/** The named metrics in Prometheus' text format. */
export async function metrics(names) {
  const query = names.map((name) => `name[]=${encodeURIComponent(name)}`).join("&");
  return (await ask(`metrics?${query}`)).content;
}

/**
 * A task's answer.
 * @returns {Promise<{outputs: any, headers: Headers, took: number}>} `took` in milliseconds.
 */
export async function predict(name, body, { version, signal } = {}) {
  const { content, headers, took } = await ask(taskPath(name, version), { body, signal });
  return { outputs: content, headers, took };
}

/**
 * Several tasks' answers on one text.
 * @param {string} text what they are asked about.
 * @param {{name: string, parameters: object}[]} asked tasks with their parameters.
 * @param {(name: string, answer?: object, error?: Refused) => void} tell takes each outcome.
 */
export async function analyze(text, asked, tell, signal) {
  for (let start = 0; start < asked.length; start += MOST_TASKS) {
    const tasks = asked.slice(start, start + MOST_TASKS).map(({ name, parameters }) => ({ task: name, parameters }));
    const { content } = await askAll({ inputs: text, tasks }, signal);
    for (const [name, result] of Object.entries(content.results)) {
      if ("error" in result) tell(name, undefined, new Refused(result.status, result, result.estimated_time));
      else tell(name, { outputs: result.outputs, headers: headersOf(result) });
    }
  }
}

/** Where no task answers, the response is an error that has all of them. */
async function askAll(body, signal) {
  try {
    return await ask("v1/analyze", { body, signal });
  } catch (error) {
    if (error.results) return { content: error };
    throw error;
  }
}

/** What the headers of a task's own answer would say. */
function headersOf(result) {
  const told = HEADERS.map(([name, member]) => [name, result[member]]);
  return new Map(told.filter(([, value]) => value !== undefined && value !== false));
}

async function ask(path, { body, signal } = {}) {
  const headers = {};
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (body) headers["content-type"] = "application/json";
  const started = performance.now();
  const response = await reach(path, {
    method: body ? "POST" : "GET",
    headers,
    body: body && JSON.stringify(body),
    signal,
    credentials: "same-origin",
  });
  const content = await read(response);
  const took = performance.now() - started;
  if (response.ok) return { content, headers: response.headers, took };
  if (response.status === 401) wantKey();
  const said = typeof content === "object" && content ? content : { error: String(content) };
  throw new Refused(response.status, said, Number(response.headers.get("retry-after")) || null);
}

async function reach(path, options) {
  try {
    return await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const text = "The server did not answer. Check that it runs and that the network is up.";
    throw new Refused(0, { error: text, code: "unreachable" }, null);
  }
}

async function read(response) {
  const isJson = response.headers.get("content-type")?.includes("json");
  try {
    return isJson ? await response.json() : await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(response.status, { error: "The answer could not be read; ask again." }, null);
  }
}
