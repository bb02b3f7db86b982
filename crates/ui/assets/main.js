// Puts the parts together: one document in, everything drawn from it; one address, everything follows it.

import { edgeOf, look, looking, onLook, select, serviceOf } from "./address.js";
import { $, h, morphChildren, setText } from "./dom.js";
import { openFaults, startFaults } from "./faults.js";
import { percent, seconds } from "./format.js";
import { Graph } from "./graph.js";
import { Live } from "./live.js";
import { SIGNS, matches, readMesh } from "./mesh.js";
import { showPanel } from "./panel.js";
import { showTable } from "./table.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const states = new Map();
let mesh = null;

const graph = new Graph((selected) => select(selected));
const live = new Live((document_) => {
  mesh = readMesh(document_);
  draw();
}, showLive);

function draw() {
  const first = !$("world").childElementCount;
  setText($("datacenter"), mesh.datacenter);
  graph.update(mesh);
  if (looking.view === "table") showTable(mesh, looking);
  showPanel(mesh, looking.selected);
  showSummary();
  showEmpty();
  announce();
  if (first) requestAnimationFrame(() => graph.revealSelected());
}

function showLive({ state, way, age, why }) {
  const element = $("live");
  element.dataset.state = state;
  if (way) element.dataset.way = way;
  document.body.classList.toggle("stale", state === "stale" && age > 6);
  const words = state === "live" ? "live" : state === "stale" ? `stale since ${seconds(age)}` : why || "connecting";
  setText(element.lastChild, words);
  element.title = why ? `${words}: ${why}` : way === "poll" ? "live, by polling" : words;
}

function showSummary() {
  const edges = [...mesh.edges.values()];
  const failing = edges.filter((edge) => edge.state === "error" || edge.state === "warn");
  failing.sort((a, b) => b.share - a.share);
  const refused = edges.filter((edge) => edge.state === "refused");
  const first = failing[0] ?? refused[0];
  const well = mesh.services.size ? "All well · Meshglass" : "Meshglass";
  const how = failing.length ? `${SIGNS[first.state]} ${percent(first.share)}` : `${SIGNS.refused} refused`;
  document.title = first ? `${how} ${first.source} → ${first.destination} · Meshglass` : well;
  morphChildren($("summary"), first ? [worstLink(first, failing.length, refused.length)] : calmWords(edges.length));
}

function worstLink(first, failing, refused) {
  const calls = failing === 1 ? "1 call with errors" : `${failing} calls with errors`;
  const words = [failing && calls, refused && `${refused} refused`].filter(Boolean).join(", ");
  const onclick = () => select(edgeOf(first.source, first.destination));
  const props = { type: "button", class: "link", "data-state": first.state, onclick };
  return h("button", props, `${SIGNS[first.state]} ${words}`);
}

const calmWords = (calls) =>
  calls ? [h("span", {}, `${mesh.services.size} services, ${calls} calls, all well`)] : [];

function showEmpty() {
  const nothing = !mesh.services.size;
  const quiet = !nothing && !mesh.edges.size;
  $("empty").hidden = !(nothing || quiet);
  $("empty").classList.toggle("slim", quiet);
  $("empty-commands").hidden = !nothing;
  setText($("empty-title"), nothing ? "No services yet" : "No calls yet");
  setText(
    $("empty-text"),
    nothing
      ? "Start the demo, or register a service with a sidecar and call it:"
      : "Services are registered; once one calls another through its sidecar, the call appears here.",
  );
}

const plight = (edge) =>
  edge.state === "refused" ? "is refused by an intention" : `is failing, ${percent(edge.share)} errors`;

/// Says what became better or worse, once.
function announce() {
  const news = [];
  for (const edge of mesh.edges.values()) {
    const before = states.get(edge.id);
    states.set(edge.id, edge.state);
    const bad = edge.state === "error" || edge.state === "refused";
    const wasBad = before === "error" || before === "refused";
    if (before && bad !== wasBad)
      news.push(`${edge.source} to ${edge.destination} ${bad ? plight(edge) : "has recovered"}`);
  }
  if (news.length) $("announce").textContent = news.slice(0, 3).join("; ");
}

function follow(changed) {
  if (changed.includes("window")) live.watch(looking.window);
  showControls();
  if (changed.includes("selected")) {
    showPanel(mesh, looking.selected);
    $("panel").scrollTop = 0;
    // Who chose with the keyboard goes on reading there; Esc leads back.
    if (looking.selected && document.activeElement?.matches("#world :focus-visible, #table :focus-visible"))
      $("panel").focus();
  }
  graph.look(looking);
  if (changed.includes("selected")) requestAnimationFrame(() => graph.revealSelected());
  if (mesh && looking.view === "table") showTable(mesh, looking);
}

function showControls() {
  const press = (group, key, value) => {
    for (const button of $(group).children)
      button.setAttribute("aria-pressed", String(button.dataset[key] === String(value)));
  };
  press("windows", "window", looking.window);
  press("views", "view", looking.view);
  $("failing").setAttribute("aria-pressed", String(looking.failing));
  if ($("search").value !== looking.query) $("search").value = looking.query;
  $("stage").hidden = looking.view === "table";
  $("table").hidden = looking.view !== "table";
}

function toggleTheme() {
  const root = document.documentElement;
  const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("meshglass.theme", root.dataset.theme);
  } catch {
    /* then it holds until the page is left */
  }
  graph.dots.repaint();
}

async function copyLink() {
  const button = $("copy");
  try {
    await navigator.clipboard.writeText(location.href);
    button.dataset.done = "Copied";
  } catch {
    // Plain http to another machine has no clipboard: the address bar has the same link.
    button.dataset.done = "Copy the address bar";
  }
  $("announce").textContent = button.dataset.done;
  setTimeout(() => delete button.dataset.done, 1600);
}

/// Closes the topmost thing and gives the focus back to what opened it.
function close() {
  if (!$("faults").hidden) {
    openFaults(false);
    return;
  }
  if (document.activeElement === $("search") && (looking.query || !looking.selected)) {
    look({ query: "" });
    $("search").blur();
    return;
  }
  if (!looking.selected) return;
  const was = looking.selected;
  select(null);
  if (looking.view === "graph") graph.focus(was);
}

const KEYS = {
  "/": () => {
    $("search").focus();
    $("search").select();
  },
  "?": () => $("help").showModal(),
  g: () => look({ view: "graph" }),
  t: () => look({ view: "table" }),
  d: toggleTheme,
  e: () => look({ failing: !looking.failing }),
  "+": () => graph.zoom("in"),
  "=": () => graph.zoom("in"),
  "-": () => graph.zoom("out"),
  0: () => graph.zoom("fit"),
  1: () => look({ window: 30 }),
  2: () => look({ window: 60 }),
  3: () => look({ window: 300 }),
  4: () => look({ window: 900 }),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (event.key === "Escape") {
    close();
    return;
  }
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Enter" && event.target === $("search")) openFirstMatch();
    return;
  }
  const action = KEYS[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

function openFirstMatch() {
  const name = [...(mesh?.services.keys() ?? [])].sort().find((one) => matches(one, looking.query));
  if (name && looking.query) select(serviceOf(name));
}

function start() {
  $("windows").addEventListener("click", (event) => {
    if (event.target.dataset.window) look({ window: Number(event.target.dataset.window) });
  });
  $("views").addEventListener("click", (event) => {
    if (event.target.dataset.view) look({ view: event.target.dataset.view });
  });
  $("search").addEventListener("input", (event) => look({ query: event.target.value.trim() }));
  document.querySelector(".skip").onclick = (event) => {
    // The address keeps its words after the #.
    event.preventDefault();
    ($("world").querySelector("button") ?? $("stage")).focus();
  };
  $("failing").onclick = () => look({ failing: !looking.failing });
  $("theme").onclick = toggleTheme;
  $("copy").onclick = copyLink;
  $("help-open").onclick = () => $("help").showModal();
  for (const button of document.querySelectorAll("[data-close]")) {
    button.onclick = () => (button.dataset.close === "help" ? $("help").close() : openFaults(false));
  }
  $("help").addEventListener("click", (event) => {
    if (event.target === $("help")) $("help").close();
  });
  dark.addEventListener("change", () => graph.dots.repaint());
  onLook(follow);
  showControls();
  graph.look(looking);
  showPanel(mesh, looking.selected);
  live.watch(looking.window);
  startFaults();
}

start();
