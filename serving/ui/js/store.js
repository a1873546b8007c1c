/** The tasks as they were last heard of, read anew while the page is looked at. */

import { listTasks } from "./api.js";

const LEAST_PAUSE = 10_000;
const listeners = new Set();
let tasks = [];
let problem = null;
let timer = 0;

/** Every task that is known. */
export const allTasks = () => tasks;

/** Why the tasks could not be read; null when they could. */
export const tasksProblem = () => problem;

/** One task, or undefined. */
export const findTask = (name) => tasks.find((task) => task.name === name);

/** Calls back whenever tasks were read, or could not be; returns what ends that. */
export function onTasks(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Reads the tasks now, and from then on every ten seconds or, where that is slow, less often. */
export async function refresh() {
  clearTimeout(timer);
  const started = performance.now();
  try {
    tasks = await listTasks();
    problem = null;
  } catch (error) {
    problem = error;
  }
  const took = performance.now() - started;
  timer = setTimeout(refreshWhenSeen, Math.max(LEAST_PAUSE, 20 * took));
  for (const listener of listeners) listener();
}

function refreshWhenSeen() {
  if (!document.hidden) refresh();
  else document.addEventListener("visibilitychange", refreshWhenSeen, { once: true });
}
