/** A line chart of the last readings, drawn as SVG. */

import { el, fill, nextId, svg } from "./dom.js";

const [WIDTH, HEIGHT, FOOT] = [320, 96, 4];

/**
 * A chart that is drawn anew with each reading.
 * @param {string} title what it shows.
 * @param {(value: number) => string} words writes a value.
 * @param {[string, string][]} lines names in a reading, with what to call them.
 * @param {number} most readings from edge to edge.
 * @param {(value: number) => number} ceilingOf the top of the scale for a greatest value.
 */
export function chart(title, words, lines, most, ceilingOf = niceCeiling) {
  const id = nextId();
  const legend = el("dl", { class: "legend" });
  const top = el("span", { class: "fine top" });
  const plot = svg("svg", {
    class: "plot",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-labelledby": id,
  });
  const element = el(
    "section",
    { class: "card chart", "aria-labelledby": id },
    el("h2", { id }, title),
    legend,
    el("div", { class: "plot-box" }, top, plot),
  );

  function show(readings) {
    const values = lines.map(([name]) => readings.map((reading) => reading[name]));
    const ceiling = ceilingOf(Math.max(0, ...values.flat()));
    top.textContent = readings.length ? words(ceiling) : "";
    fill(plot, grid(), values.map((each, index) => line(each, index, ceiling, most)));
    fill(
      legend,
      lines.map(([, label], index) =>
        el(
          "div",
          { "data-line": index },
          el("dt", {}, label),
          el("dd", {}, readings.length ? words(values[index].at(-1)) : "–"),
        ),
      ),
    );
  }

  return { element, show };
}

/** The next of 1, 2, 5, 10 … above a value, so that the scale does not tremble. */
export function niceCeiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

function grid() {
  return [0.5, HEIGHT / 2, HEIGHT - FOOT].map((y) =>
    svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }),
  );
}

function line(values, index, ceiling, most) {
  if (values.length < 2) return null;
  const step = WIDTH / (most - 1);
  const first = WIDTH - step * (values.length - 1);
  const points = values.map((value, place) => {
    const y = HEIGHT - FOOT - (value / ceiling) * (HEIGHT - FOOT - 1);
    return `${(first + place * step).toFixed(1)},${y.toFixed(1)}`;
  });
  const foot = HEIGHT - FOOT;
  return svg(
    "g",
    { "data-line": index },
    svg("polygon", { points: `${first.toFixed(1)},${foot} ${points.join(" ")} ${WIDTH},${foot}` }),
    svg("polyline", { points: points.join(" ") }),
  );
}
