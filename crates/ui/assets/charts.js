// Small time series: axes with words, a value under the pointer or the arrow keys, the same moment in all of them.

import { svg, h } from "./dom.js";
import { niceTop, seconds } from "./format.js";

const WIDTH = 372;
const HEIGHT = 92;
const LEFT = 44;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 18;

/// `given` = { title, values, step, style: area|bars|line, format, hover, onHover, tone }.
export function chart(given) {
  const { title, values, step, format, hover, onHover } = given;
  const known = values.filter((value) => value !== null && value !== undefined);
  const top = niceTop(Math.max(0, ...known));
  const inner = { width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM };
  const n = Math.max(2, values.length);
  const x = (i) => LEFT + (i / (n - 1)) * inner.width;
  const y = (value) => TOP + inner.height * (1 - Math.min(1, value / top));
  const at = hover === null || hover >= values.length ? null : hover;
  const last = values[values.length - 1] ?? null;
  const when = at === null ? "now" : ago((values.length - 1 - at) * step);
  const shown = at === null ? last : values[at];
  const index = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / inner.width;
    return Math.max(0, Math.min(values.length - 1, Math.round(share * (n - 1))));
  };
  const keys = (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way || !values.length) return;
    event.preventDefault();
    event.stopPropagation();
    onHover(Math.max(0, Math.min(values.length - 1, (at ?? values.length - 1) + way)));
  };
  const summary = known.length
    ? `${title}: now ${format(last)}, at most ${format(Math.max(...known))}`
    : `${title}: no data`;
  return h(
    "figure",
    { class: "chart", "data-key": `chart ${title}`, "data-tone": given.tone },
    h("figcaption", {}, h("span", {}, title), h("span", { class: "when" }, when), h("b", {}, format(shown))),
    svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        tabindex: "0",
        "aria-label": summary,
        onkeydown: keys,
        onblur: () => onHover(null),
        onpointermove: (event) => onHover(index(event)),
        onpointerleave: () => onHover(null),
      },
      axes(top, format, values.length, step, x, y),
      drawing(given, values, x, y, inner),
      at === null ? null : svg("line", { class: "cursor", x1: x(at), x2: x(at), y1: TOP, y2: TOP + inner.height }),
      at === null || values[at] === null
        ? null
        : svg("circle", { class: "point", cx: x(at), cy: y(values[at]), r: 3.4 }),
    ),
  );
}

const ago = (span) => (span < 1 ? "now" : `${seconds(span)} ago`);

function axes(top, format, length, step, x, y) {
  const lines = [0, top / 2, top].flatMap((value) => [
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
    svg(
      "text",
      { class: "tick", x: LEFT - 6, y: y(value) + 3.4, "text-anchor": "end" },
      value ? format(value).replace(".0", "") : "0",
    ),
  ]);
  const span = length * step;
  const moments = [
    [0, `−${seconds(span)}`, "start"],
    [(length - 1) / 2, `−${seconds(span / 2)}`, "middle"],
    [length - 1, "now", "end"],
  ];
  if (length < 2) return lines;
  return [
    ...lines,
    ...moments.map(([i, words, anchor]) =>
      svg("text", { class: "tick", x: x(i), y: HEIGHT - 4, "text-anchor": anchor }, words),
    ),
  ];
}

function drawing({ style }, values, x, y, inner) {
  const floor = TOP + inner.height;
  if (style === "bars") {
    const width = Math.max(1, (inner.width / Math.max(1, values.length)) * 0.72);
    const bars = values.map((value, i) =>
      value > 0
        ? `M${(x(i) - width / 2).toFixed(1)} ${floor}V${Math.min(floor - 1.5, y(value)).toFixed(1)}` +
          `h${width.toFixed(1)}V${floor}Z`
        : "",
    );
    return svg("path", { class: "bars", d: bars.join("") || "M0 0" });
  }
  // A gap in the data is a gap in the line.
  const runs = [];
  values.forEach((value, i) => {
    if (value === null || value === undefined) return;
    if (!i || values[i - 1] === null || values[i - 1] === undefined) runs.push([]);
    runs[runs.length - 1].push(`${x(i).toFixed(1)} ${y(value).toFixed(1)}`);
  });
  const stroke = runs.map((run) => `M${run.length === 1 ? `${run[0]}L${run[0]}` : run.join("L")}`).join("");
  const fill = runs.map(
    (run) => `M${run[0].split(" ")[0]} ${floor}L${run.join("L")}L${run[run.length - 1].split(" ")[0]} ${floor}Z`,
  );
  return [
    style === "area" ? svg("path", { class: "fill", d: fill.join("") || "M0 0" }) : null,
    svg("path", { class: "stroke", d: stroke || "M0 0" }),
  ];
}
