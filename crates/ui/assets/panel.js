// The details of one service or one call.

import { edgeOf, select, serviceOf } from "./address.js";
import { chart } from "./charts.js";
import { $, h, morphChildren, svg } from "./dom.js";
import { bytes, count, grpcIsError, grpcName, ms, percent, perSecond, protocolName, rate } from "./format.js";
import { SIGNS, stateOf, sum, sumSeries, worst } from "./mesh.js";

let hover = null;
let shown = null;

export function showPanel(mesh, selected) {
  shown = { mesh, selected };
  const panel = $("panel");
  const edge = selected?.kind === "edge" ? mesh?.edges.get(selected.id) : null;
  const service = selected?.kind === "service" ? mesh?.services.get(selected.id) : null;
  panel.hidden = !selected;
  document.body.classList.toggle("with-panel", !panel.hidden);
  if (!selected || !mesh) return;
  let parts;
  if (edge) parts = edgeParts(edge);
  else if (service) parts = serviceParts(service);
  else
    parts = [
      head(selected.id, "not seen in this window", "idle"),
      h("p", { class: "quiet" }, "Nothing was heard of it within the window. A longer window may show it."),
    ];
  panel.dataset.of = selected.id;
  morphChildren(panel, parts.flat().filter(Boolean));
}

function onHover(index) {
  if (index === hover) return;
  hover = index;
  if (shown) showPanel(shown.mesh, shown.selected);
}

function head(title, below, state) {
  return h(
    "header",
    { class: "head", "data-state": state },
    h("div", {}, h("h2", { title: typeof title === "string" ? title : null }, title), h("p", {}, below)),
    h(
      "button",
      { type: "button", class: "close", "aria-label": "Close details", onclick: () => select(null) },
      "×",
    ),
  );
}

function edgeParts(edge) {
  const link = (name) =>
    h("button", { type: "button", class: "link", onclick: () => select(serviceOf(name)) }, name);
  const title = h(
    "span",
    { class: "route" },
    link(edge.source),
    h("span", { class: "to" }, " → "),
    link(edge.destination),
  );
  return [
    head(title, `${protocolName(edge.protocol) || "call"} · ${stateWords(edge.state)}`, edge.state),
    figures(edge, edge.state),
    refusedNote(edge),
    ...charts(edge.series),
    answers(edge.stats),
    methods(edge.methods),
    pairs(edge.pairs),
    bothSides(edge),
  ];
}

function serviceParts(service) {
  const { stats } = service;
  const health = service.status || "unknown: it is not registered";
  const entry = service.entry ? " · nobody calls it: figures of its own calls" : "";
  const lines = sumSeries((service.entry ? service.calls : service.callers).map((edge) => edge.series));
  return [
    head(service.name, `checks ${health} · ${stateWords(service.state)}${entry}`, service.state),
    figures(service, service.state),
    ...(lines ? charts(lines) : []),
    answers(stats),
    instances(service.instances),
    methods(mergeMethods(service.callers)),
    calls("Called by", service.callers, (edge) => edge.source),
    calls("Calls", service.calls, (edge) => edge.destination),
  ];
}

const stateWords = (state) =>
  ({
    ok: "healthy",
    warn: "some errors",
    error: "failing",
    idle: "no requests in the window",
    refused: "refused by intention",
  })[state];

function figures({ stats, now }, state) {
  const figure = (label, value, below, key) =>
    h("div", { "data-figure": key }, h("dt", {}, label), h("dd", {}, value), h("small", {}, below ?? ""));
  const recently = now.share === null ? "" : `now ${percent(now.share)}`;
  return h(
    "dl",
    { class: "figures", "data-state": state, "data-key": "figures" },
    figure("Requests", perSecond(stats.Rate), `${count(stats.Requests)} in all`, "rate"),
    figure("Errors", stats.Requests ? percent(stats.ErrorShare) : "–", recently, "errors"),
    figure("p50", ms(stats.Requests ? stats.P50Ms : null), "", "p50"),
    figure(
      "p99",
      ms(stats.Requests ? stats.P99Ms : null),
      stats.Retries ? `${count(stats.Retries)} retries` : "",
      "p99",
    ),
  );
}

function refusedNote(edge) {
  if (!edge.refused) return null;
  return h(
    "p",
    { class: "refused", "data-key": "refused" },
    h("b", {}, `${SIGNS.refused} ${count(edge.refused)} refused. `),
    `An intention does not allow ${edge.source} to call ${edge.destination}. `,
    h("code", {}, `meshglass intention check ${edge.source} ${edge.destination}`),
  );
}

function charts(lines) {
  const { StepSeconds: step, Rate, Errors, P99Ms } = lines;
  const quiet = P99Ms.map((value, i) => (Rate[i] > 0 && value > 0 ? value : null));
  const common = { step, hover, onHover };
  return [
    chart({ ...common, title: "Requests per second", values: Rate, style: "area", format: rate, tone: "ok" }),
    chart({ ...common, title: "Errors per second", values: Errors, style: "bars", format: rate, tone: "error" }),
    chart({ ...common, title: "p99", values: quiet, style: "line", format: ms, tone: "time" }),
  ];
}

const CLASSES = [
  ["2", "2xx", "success"],
  ["3", "3xx", "redirect"],
  ["4", "4xx", "caller's fault"],
  ["5", "5xx", "server's fault"],
  ["0", "none", "no answer"],
  ["1", "1xx", "informational"],
];

function answers(stats) {
  const grpc = Object.keys(stats.GRPCStatuses).length > 0;
  const rows = grpc
    ? Object.entries(stats.GRPCStatuses)
        .filter(([, n]) => n)
        .sort((a, b) => Number(a[0]) - Number(b[0]))
        .map(([code, n]) => ({
          n,
          name: grpcName(code),
          below: `status ${code}`,
          tone: code === "0" ? "2" : grpcIsError(code) ? "5" : "4",
        }))
    : CLASSES.filter(([key]) => stats.Classes[key]).map(([key, name, below]) => ({
        n: stats.Classes[key],
        name,
        below,
        tone: key,
      }));
  const total = rows.reduce((n, row) => n + row.n, 0);
  if (!total) return null;
  let from = 0;
  const bar = rows.map((row) => {
    // A single failure among thousands must still be seen.
    const width = Math.max(0.8, (row.n / total) * 100);
    const rect = svg("rect", { x: from, y: 0, width, height: 8, "data-tone": row.tone });
    from += width;
    return rect;
  });
  return section(
    grpc ? "gRPC statuses" : "Status classes",
    svg(
      "svg",
      { class: "answers", viewBox: `0 0 ${from} 8`, preserveAspectRatio: "none", "aria-hidden": "true" },
      bar,
    ),
    h(
      "ul",
      { class: "answers" },
      rows.map((row) =>
        h(
          "li",
          { "data-tone": row.tone, "data-status": row.name },
          h("i", {}),
          h("b", {}, row.name),
          h("span", {}, row.below),
          h("em", {}, percent(row.n / total)),
          h("em", {}, count(row.n)),
        ),
      ),
    ),
  );
}

const section = (title, ...children) => h("section", { "data-key": title }, h("h3", {}, title), children);

const cell = (value, tone) => h("td", { class: "number", "data-tone": tone }, value);
const columns = (...names) =>
  h(
    "thead",
    {},
    h(
      "tr",
      {},
      names.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)),
    ),
  );

const figureHeads = [
  ["Rate", "number"],
  ["Errors", "number"],
  ["p99", "number"],
];

function figureCells(stats) {
  const state = stateOf(stats.ErrorShare, stats.Requests);
  return [
    cell(rate(stats.Rate)),
    cell(stats.Requests ? `${state === "ok" ? "" : `${SIGNS[state]} `}${percent(stats.ErrorShare)}` : "–", state),
    cell(ms(stats.Requests ? stats.P99Ms : null)),
  ];
}

const badge = (found, row) =>
  found?.row === row ? h("span", { class: "badge", "data-worst": "true" }, found.why) : null;

function methods(list) {
  if (!list.length) return null;
  const sorted = [...list].sort((a, b) => (a.Service + a.Method < b.Service + b.Method ? -1 : 1));
  const found = worst(sorted);
  return section(
    "gRPC methods",
    h(
      "table",
      {},
      columns(["Method"], ...figureHeads),
      h(
        "tbody",
        {},
        sorted.map((method) =>
          h(
            "tr",
            { "data-method": method.Method, class: found?.row === method ? "worst" : null },
            h(
              "th",
              { scope: "row" },
              h(
                "span",
                { class: "two" },
                h("b", {}, method.Method, badge(found, method)),
                h("small", {}, method.Service),
              ),
            ),
            figureCells(method.stats),
          ),
        ),
      ),
    ),
  );
}

function mergeMethods(edges) {
  const groups = new Map();
  for (const method of edges.flatMap((edge) => edge.methods)) {
    const key = `${method.Service}/${method.Method}`;
    groups.set(key, [...(groups.get(key) ?? []), method]);
  }
  return [...groups.values()].map((list) => ({ ...list[0], stats: sum(list.map((method) => method.stats)) }));
}

function pairs(list) {
  if (!list.length) return null;
  const sorted = [...list].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  const found = worst(sorted);
  const end = (instance, node) =>
    h("span", { class: "two" }, h("b", {}, instance || "unknown"), h("small", {}, node ? `on ${node}` : ""));
  return section(
    "Instance to instance",
    h(
      "div",
      { class: "sideways", tabindex: "0", role: "region", "aria-label": "Instance to instance" },
      h(
        "table",
        {},
        columns(["From"], ["To"], ...figureHeads),
        h(
          "tbody",
          {},
          sorted.map((pair) =>
            h(
              "tr",
              {
                "data-pair": key(pair),
                "data-error-share": pair.stats.ErrorShare.toFixed(4),
                class: found?.row === pair ? "worst" : null,
              },
              h("th", { scope: "row" }, end(pair.SourceInstance, pair.SourceNode)),
              h("td", {}, end(pair.DestinationInstance, pair.DestinationNode), badge(found, pair)),
              figureCells(pair.stats),
            ),
          ),
        ),
      ),
    ),
  );
}

const key = (pair) => `${pair.SourceInstance}→${pair.DestinationInstance}`;

function instances(list) {
  if (!list.length) return section("Instances", h("p", { class: "quiet" }, "None is registered."));
  const found = worst(list);
  return section(
    "Instances",
    h(
      "table",
      {},
      columns(["Instance"], ...figureHeads),
      h(
        "tbody",
        {},
        list.map((instance) =>
          h(
            "tr",
            { "data-instance": instance.ID, class: found?.row === instance ? "worst" : null },
            h(
              "th",
              { scope: "row" },
              h(
                "span",
                { class: "two" },
                h(
                  "b",
                  {},
                  h("i", { class: "shape", "data-state": instance.state }),
                  instance.ID,
                  badge(found, instance),
                ),
                h("small", {}, where(instance)),
                checks(instance),
              ),
            ),
            figureCells(instance.stats),
          ),
        ),
      ),
    ),
  );
}

function where({ Node, Zone, Version, Address, Sidecar, SidecarSeenMs }) {
  const seen = SidecarSeenMs && shown.mesh.at ? (shown.mesh.at - SidecarSeenMs) / 1000 : 0;
  const silent = Sidecar && seen > 10 ? `sidecar silent for ${Math.round(seen)} s` : Sidecar ? "" : "no sidecar";
  return [Node && `on ${Node}`, Zone, Version && `version ${Version}`, Address, silent].filter(Boolean).join(" · ");
}

/// Only what is wrong is worth a line.
function checks(instance) {
  const wrong = instance.Checks.filter((check) => check.Status !== "passing");
  return wrong.map((check) =>
    h(
      "small",
      { class: "check" },
      `${SIGNS[check.Status === "warning" ? "warn" : "error"]} ${check.Name}: `,
      (check.Output || check.Status).slice(0, 200),
    ),
  );
}

function calls(title, list, name) {
  if (!list.length) return null;
  const sorted = [...list].sort((a, b) => (name(a) < name(b) ? -1 : 1));
  return section(
    title,
    h(
      "table",
      {},
      columns(["Service"], ...figureHeads),
      h(
        "tbody",
        {},
        sorted.map((edge) =>
          h(
            "tr",
            {},
            h(
              "th",
              { scope: "row" },
              h(
                "button",
                { type: "button", class: "link", onclick: () => select(edgeOf(edge.source, edge.destination)) },
                name(edge),
              ),
              edge.refused ? h("span", { class: "badge" }, `${count(edge.refused)} refused`) : null,
            ),
            figureCells(edge.stats),
          ),
        ),
      ),
    ),
  );
}

/// Two witnesses of the same requests: when they differ, something between them is the reason.
function bothSides(edge) {
  const { client, server } = edge;
  const row = (name, ...values) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      values.map((value) => cell(value)),
    );
  return section(
    "As the two sides saw it",
    h(
      "table",
      {},
      columns(["", ""], ["Caller", "number"], ["Callee", "number"]),
      h(
        "tbody",
        {},
        row("Requests in window", count(client.Requests), count(server.Requests)),
        row("Errors in window", count(client.Errors), count(server.Errors)),
        row("p99", ms(client.Requests ? client.P99Ms : null), ms(server.Requests ? server.P99Ms : null)),
        row("Bytes sent", bytes(client.BytesSent), bytes(server.BytesSent)),
        row("Bytes received", bytes(client.BytesReceived), bytes(server.BytesReceived)),
        row(
          "Requests since start",
          client.TotalRequests.toLocaleString("en"),
          server.TotalRequests.toLocaleString("en"),
        ),
        row("Errors since start", client.TotalErrors.toLocaleString("en"), server.TotalErrors.toLocaleString("en")),
      ),
    ),
  );
}
