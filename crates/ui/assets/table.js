// All calls as a table: the same facts as the graph, sortable.

import { edgeOf, select } from "./address.js";
import { $, h, morphChildren } from "./dom.js";
import { count, ms, percent, protocolName, rate } from "./format.js";
import { SIGNS, edgeMatches } from "./mesh.js";

const COLUMNS = [
  { key: "source", name: "From", of: (edge) => edge.source },
  { key: "destination", name: "To", of: (edge) => edge.destination },
  { key: "protocol", name: "Protocol", of: (edge) => protocolName(edge.protocol), rank: "low" },
  { key: "rate", name: "Requests/s", of: (edge) => edge.stats.Rate, show: rate },
  { key: "errors", name: "Errors", of: (edge) => edge.share, show: percent },
  { key: "4xx", name: "4xx", of: (edge) => edge.stats.Classes["4"] ?? 0, show: count, rank: "low" },
  { key: "5xx", name: "5xx", of: (edge) => edge.stats.Classes["5"] ?? 0, show: count, rank: "low" },
  { key: "p50", name: "p50", of: (edge) => edge.stats.P50Ms ?? 0, show: ms, rank: "low" },
  { key: "p99", name: "p99", of: (edge) => edge.stats.P99Ms ?? 0, show: ms },
  { key: "retries", name: "Retries", of: (edge) => edge.stats.Retries, show: count, rank: "low" },
  { key: "refused", name: "Refused", of: (edge) => edge.refused, show: count, rank: "low" },
];

let sorted = { key: "errors", down: true };
let again = () => {};

export function showTable(mesh, looking) {
  again = () => showTable(mesh, looking);
  const column = COLUMNS.find((one) => one.key === sorted.key);
  const edges = [...mesh.edges.values()]
    .filter((edge) => !looking.query || edgeMatches(edge, looking.query))
    .filter((edge) => !looking.failing || ["warn", "error", "refused"].includes(edge.state) || edge.refused);
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  edges.sort((a, b) => compare(column.of(a), column.of(b)) * (sorted.down ? -1 : 1) || (a.id < b.id ? -1 : 1));
  const rows = edges.map((edge) => row(edge, looking.selected?.id === edge.id));
  const none = h("p", { class: "quiet" }, mesh.edges.size ? "No call matches." : "No calls in this window.");
  morphChildren(
    $("table"),
    [
      h(
        "table",
        {},
        h("caption", { class: "unseen" }, "All calls, one a row"),
        h("thead", {}, h("tr", {}, COLUMNS.map(heading))),
        h("tbody", {}, rows),
      ),
      rows.length ? null : none,
    ].filter(Boolean),
  );
}

function heading(column) {
  const on = sorted.key === column.key;
  const onclick = () => {
    sorted = { key: column.key, down: on ? !sorted.down : Boolean(column.show) };
    again();
  };
  return h(
    "th",
    {
      scope: "col",
      "data-rank": column.rank,
      class: column.show ? "number" : null,
      "aria-sort": on ? (sorted.down ? "descending" : "ascending") : "none",
    },
    h(
      "button",
      { type: "button", onclick, "data-sort": column.key },
      column.name,
      h("span", { "aria-hidden": "true" }, on ? (sorted.down ? " ↓" : " ↑") : ""),
    ),
  );
}

function row(edge, chosen) {
  const choose = () => select(edgeOf(edge.source, edge.destination));
  const sign = edge.refused && edge.state !== "error" ? SIGNS.refused : SIGNS[edge.state];
  return h(
    "tr",
    {
      "data-key": edge.id,
      "data-row": edge.id,
      "data-state": edge.state,
      class: chosen ? "chosen" : null,
      onclick: choose,
    },
    COLUMNS.map((column) => {
      const value = column.of(edge);
      if (column.key === "source") {
        return h("th", { scope: "row" }, h("button", { type: "button", class: "link" }, value));
      }
      const words = column.show ? column.show(value) : value;
      const signed =
        column.key === "errors" && edge.state !== "ok" ? [h("span", { class: "sign" }, `${sign} `), words] : words;
      return h(
        "td",
        { class: column.show ? "number" : null, "data-rank": column.rank, "data-zero": value === 0 },
        signed,
      );
    }),
  );
}
