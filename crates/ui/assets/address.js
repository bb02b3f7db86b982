// What is looked at lives in the address (after the #), so that a link shows the same to somebody else.

const WINDOWS = [30, 60, 300, 900];
const listeners = [];

export const looking = { window: 60, view: "graph", selected: null, query: "", failing: false };

function read() {
  const words = new URLSearchParams(location.hash.slice(1));
  const window = Number.parseInt(words.get("window") ?? "", 10);
  looking.window = WINDOWS.includes(window) ? window : 60;
  looking.view = words.get("view") === "table" ? "table" : "graph";
  looking.query = words.get("search") ?? "";
  looking.failing = words.get("failing") === "1";
  const [service, from, to] = [words.get("service"), words.get("from"), words.get("to")];
  if (from && to) looking.selected = { kind: "edge", id: `${from}→${to}`, from, to };
  else looking.selected = service ? { kind: "service", id: service } : null;
}

function write() {
  const words = new URLSearchParams();
  const { selected } = looking;
  if (selected?.kind === "service") words.set("service", selected.id);
  if (selected?.kind === "edge") {
    words.set("from", selected.from);
    words.set("to", selected.to);
  }
  if (looking.window !== 60) words.set("window", String(looking.window));
  if (looking.view !== "graph") words.set("view", looking.view);
  if (looking.query) words.set("search", looking.query);
  if (looking.failing) words.set("failing", "1");
  const hash = words.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

/// Calls back with the names of what changed.
export const onLook = (listener) => listeners.push(listener);

export function look(change) {
  const changed = Object.keys(change).filter((key) => JSON.stringify(looking[key]) !== JSON.stringify(change[key]));
  if (!changed.length) return;
  Object.assign(looking, change);
  write();
  for (const listener of listeners) listener(changed);
}

export const select = (selected) => look({ selected });
export const edgeOf = (from, to) => ({ kind: "edge", id: `${from}→${to}`, from, to });
export const serviceOf = (id) => ({ kind: "service", id });

read();
addEventListener("hashchange", () => {
  read();
  for (const listener of listeners) listener(["window", "view", "selected", "query", "failing"]);
});
