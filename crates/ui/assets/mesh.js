// The topology document as the page thinks of it: services and calls by name, each with one state.

/// From this share on something is failing; from the other, it has some errors.
export const FAILING = 0.05;
export const SOME = 0.005;
const RECENT_SECONDS = 10;
/// Fewer requests than this in the last seconds prove nothing.
const RECENT_REQUESTS = 5;

export const SIGNS = { idle: "·", ok: "●", warn: "▲", error: "◆", refused: "⊘" };
const WORST = ["idle", "ok", "refused", "warn", "error"];

const NONE = {
  Requests: 0,
  Rate: 0,
  Classes: {},
  GRPCStatuses: {},
  Errors: 0,
  ErrorShare: 0,
  Refused: 0,
  P50Ms: null,
  P99Ms: null,
  Retries: 0,
  BytesReceived: 0,
  BytesSent: 0,
  TotalRequests: 0,
  TotalErrors: 0,
};

/// A caller or callee whom no proxy could name.
const named = (name) => name || "(unknown)";

const stats = (given) => ({
  ...NONE,
  ...given,
  Classes: given?.Classes ?? {},
  GRPCStatuses: given?.GRPCStatuses ?? {},
});

export function stateOf(share, requests) {
  if (!requests) return "idle";
  if (share >= FAILING) return "error";
  return share >= SOME ? "warn" : "ok";
}

const worse = (a, b) => (WORST.indexOf(b) > WORST.indexOf(a) ? b : a);
const byHealth = { passing: "ok", warning: "warn", critical: "error" };
export const healthState = (status) => byHealth[status] ?? "idle";

/// Sums counts; the slowest of the p99s stands for all, since percentiles cannot be added.
export function sum(list) {
  const total = stats({});
  total.Classes = {};
  total.GRPCStatuses = {};
  for (const one of list) {
    for (const key of [
      "Requests",
      "Rate",
      "Errors",
      "Refused",
      "Retries",
      "BytesReceived",
      "BytesSent",
      "TotalRequests",
      "TotalErrors",
    ])
      total[key] += one[key];
    for (const kind of ["Classes", "GRPCStatuses"]) {
      for (const [code, n] of Object.entries(one[kind])) total[kind][code] = (total[kind][code] ?? 0) + n;
    }
    for (const key of ["P50Ms", "P99Ms"]) if (one.Requests) total[key] = Math.max(total[key] ?? 0, one[key] ?? 0);
  }
  total.ErrorShare = total.Requests ? total.Errors / total.Requests : 0;
  return total;
}

/// Series of several calls as one.
export function sumSeries(list) {
  const [first] = list;
  if (!first) return null;
  const add = (key, both) => first[key].map((_, i) => list.reduce((all, one) => both(all, one[key][i]), null));
  const plus = (a, b) => (a ?? 0) + (b ?? 0);
  const max = (a, b) => (b ? Math.max(a ?? 0, b) : a);
  return { ...first, Rate: add("Rate", plus), Errors: add("Errors", plus), P99Ms: add("P99Ms", max) };
}

function series(given) {
  const list = (name) => (Array.isArray(given?.[name]) ? given[name] : []);
  return {
    StepSeconds: given?.StepSeconds || 1,
    EndMs: given?.EndMs ?? 0,
    Rate: list("Rate"),
    Errors: list("Errors"),
    P99Ms: list("P99Ms"),
  };
}

/// What happened in the last ten seconds: a fault shows here long before it moves the share of the whole window.
export function recent(all) {
  const steps = Math.max(1, Math.round(RECENT_SECONDS / all.StepSeconds));
  const tail = (list) => list.slice(-steps).reduce((a, b) => a + (b ?? 0), 0);
  const [requests, errors] = [tail(all.Rate), tail(all.Errors)];
  const enough = requests * all.StepSeconds >= RECENT_REQUESTS && all.StepSeconds <= RECENT_SECONDS;
  return { rate: requests / steps, share: enough ? Math.min(1, errors / requests) : null };
}

function readEdge(given) {
  const [client, server] = [stats(given.Client), stats(given.Server)];
  // A caller outside the mesh, or whose sidecar is silent, is still seen by the callee.
  const seen = client.Requests || !server.Requests ? client : server;
  const lines = series(given.Series);
  const now = recent(lines);
  const share = Math.max(seen.ErrorShare, now.share ?? 0);
  const refused = Math.max(client.Refused, server.Refused);
  const answered = seen.Requests - refused;
  const base = stateOf(share, seen.Requests);
  // Some refusals among answers still are news, unless something worse is wrong.
  const isRefused = refused > 0 && (answered <= 0 || (base === "ok" && refused / seen.Requests >= SOME));
  const state = isRefused ? "refused" : base;
  return {
    id: `${named(given.Source)}→${named(given.Destination)}`,
    source: named(given.Source),
    destination: named(given.Destination),
    protocol: given.Protocol ?? "",
    client,
    server,
    stats: seen,
    series: lines,
    now,
    share,
    refused,
    answered,
    state,
    pairs: (given.Pairs ?? []).map((pair) => ({ ...pair, stats: stats(pair.Client) })),
    methods: (given.Methods ?? []).map((method) => ({ ...method, stats: stats(method.Client) })),
  };
}

function readInstance(given) {
  const inbound = stats(given.Inbound);
  const state = worse(healthState(given.Status), stateOf(inbound.ErrorShare, inbound.Requests));
  return { ...given, Checks: given.Checks ?? [], stats: inbound, state };
}

export function readMesh(given) {
  const services = new Map();
  const add = (name, service) =>
    services.set(name, {
      name,
      status: "",
      kind: "",
      inbound: stats({}),
      instances: [],
      calls: [],
      callers: [],
      ...service,
    });
  for (const service of given.Services ?? []) {
    if (service.Kind === "connect-proxy") continue;
    add(named(service.Name), {
      status: service.Status,
      kind: service.Kind ?? "",
      inbound: stats(service.Inbound),
      instances: (service.Instances ?? []).map(readInstance),
    });
  }
  const edges = new Map((given.Edges ?? []).map(readEdge).map((edge) => [edge.id, edge]));
  for (const edge of edges.values()) {
    for (const name of [edge.source, edge.destination]) if (!services.has(name)) add(name, {});
    services.get(edge.source).calls.push(edge);
    services.get(edge.destination).callers.push(edge);
  }
  for (const service of services.values()) finishService(service);
  return { at: given.At, window: given.WindowSeconds, datacenter: given.Datacenter ?? "", services, edges };
}

function finishService(service) {
  service.outbound = sum(service.calls.map((edge) => edge.stats));
  // Nobody calls it: what it calls is the interesting part.
  service.entry = !service.callers.length && !service.inbound.Requests && service.calls.length > 0;
  service.stats = service.entry ? service.outbound : service.inbound;
  if (!service.entry && !service.stats.Requests) service.stats = sum(service.callers.map((edge) => edge.stats));
  const touching = service.entry ? service.calls : service.callers;
  const now = recent(sumSeries(touching.map((edge) => edge.series)) ?? series(null));
  service.now = now;
  service.share = Math.max(service.stats.ErrorShare, now.share ?? 0);
  service.state = worse(
    stateOf(service.share, service.stats.Requests),
    service.status ? healthState(service.status) : "idle",
  );
}

/// The row to look at first: the largest share of errors, or, when nothing fails, one that is far slower than the rest.
export function worst(rows) {
  const used = rows.filter((row) => row.stats.Requests);
  if (used.length < 2) return null;
  const failing = used.reduce((a, b) => (b.stats.ErrorShare > a.stats.ErrorShare ? b : a));
  if (failing.stats.ErrorShare >= SOME) return { row: failing, why: "most errors" };
  const slow = used.reduce((a, b) => ((b.stats.P99Ms ?? 0) > (a.stats.P99Ms ?? 0) ? b : a));
  const others = used
    .filter((row) => row !== slow)
    .map((row) => row.stats.P99Ms ?? 0)
    .sort((a, b) => a - b);
  const usual = others[Math.floor(others.length / 2)];
  return (slow.stats.P99Ms ?? 0) > 2 * usual && slow.stats.P99Ms > 5 ? { row: slow, why: "slowest" } : null;
}

export function matches(name, query) {
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => name.toLowerCase().includes(word));
}

export const edgeMatches = (edge, query) => matches(`${edge.source} ${edge.destination} ${edge.protocol}`, query);
