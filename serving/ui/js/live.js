/** What the server does now: throughput, queue, batches and residency, drawn while they are looked at. */

import { metrics } from "./api.js";
import { chart, niceCeiling } from "./chart.js";
import { el, fill } from "./dom.js";
import { errorBox } from "./errors.js";
import { plainTable } from "./pictures/table.js";
import { NAMES, reading, samplesIn } from "./series.js";

const PAUSE = 2000;
const OTHERS = { "-": "no task’s name", _other: "all other tasks" }; // metrics tell so many apart
const KEPT = 90;
const TOP = 8;
const kept = { readings: [], last: null }; // what was drawn stays while other views are looked at

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const powerOf = (value) => (value > 0 ? Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10)) : 0);
const bytes = (value) => {
  const power = powerOf(value);
  return `${(value / 1024 ** power).toFixed(power ? 1 : 0)} ${UNITS[power]}`;
};
const bytesCeiling = (value) => {
  const unit = 1024 ** powerOf(value);
  return niceCeiling(value / unit) * unit;
};
const number = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
const milliseconds = (value) => `${number(1000 * value)} ms`;

/** Each chart: a title, how its values are written, its lines as `[name in a reading, words]`, and its scale where it has one of its own. */
const CHARTS = [
  ["Requests a second", number, [["answered", "answered"], ["refused", "refused or failed"]]],
  ["Tokens a second", number, [["tokens", "computed"]]],
  ["Waiting tokens", number, [["queueTokens", "tokens that wait"]]],
  ["Time in the queue", milliseconds, [["queueSeconds", "mean"]]],
  ["Tasks in a batch", number, [["batchTasks", "mean"]]],
  ["Adapters", number, [["adaptersDevice", "on device"], ["adaptersHost", "in memory, with heads"]]],
  ["Bytes of adapters and heads", bytes, [["bytesDevice", "on device"], ["bytesHost", "in memory"]], bytesCeiling],
  ["Requests inside", number, [["inside", "not yet answered"]]],
];

/** Opens the view; returns what to call when it is left. */
export function liveView(place) {
  let timer = 0;
  let left = false;
  const state = el("div", {});
  const drawn = CHARTS.map(([title, words, lines, ceilingOf]) => chart(title, words, lines, KEPT, ceilingOf));
  const top = el("div", { class: "card" });
  fill(
    place,
    el("h1", {}, "Live"),
    el("p", { class: "what" }, "Read every two seconds while this view is open: the last three minutes."),
    state,
    el("div", { class: "charts" }, drawn.map(({ element }) => element)),
    top,
  );

  async function read() {
    try {
      const taken = { at: performance.now(), samples: samplesIn(await metrics(NAMES)) };
      if (kept.last) kept.readings = [...kept.readings, reading(kept.last, taken)].slice(-KEPT);
      kept.last = taken;
      if (left) return;
      fill(state);
      draw();
    } catch (error) {
      if (!left) fill(state, errorBox(error));
    }
    if (!left) timer = setTimeout(readWhenSeen, PAUSE);
  }

  function readWhenSeen() {
    if (!document.hidden) read();
    else timer = setTimeout(readWhenSeen, PAUSE);
  }

  function draw() {
    for (const each of drawn) each.show(kept.readings);
    const busy = kept.readings.at(-1)?.byTask ?? [];
    const rows = busy.slice(0, TOP).map(([task, rate]) => [OTHERS[task] ?? task, number(rate)]);
    fill(top, el("h2", {}, "Busiest tasks"), rows.length ? plainTable(["Task", "Requests a second"], rows) : el("p", { class: "fine" }, "No task is asked just now."));
  }

  draw();
  read();
  return () => {
    left = true;
    clearTimeout(timer);
  };
}
