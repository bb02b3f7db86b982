// The graph: cards for services, curves for calls, and a label on every curve that is also its button.

import { arrowHead, fillCard, fillLine, makeCard } from "./cards.js";
import { $, h, svg } from "./dom.js";
import { Dots, pointAt, sample } from "./dots.js";
import { arrange, curves, place } from "./layout.js";
import { edgeMatches, matches } from "./mesh.js";
import { Viewport } from "./viewport.js";

const WIDE = { width: 208, height: 100, gapAlong: 158, gapAcross: 40, vertical: false };
/// For more services than this: cards without their instances, and more room for the calls.
const MANY_SERVICES = 40;
const DENSE = { width: 208, height: 72, gapAlong: 260, gapAcross: 14, vertical: false };
const TALL = { width: 164, height: 100, gapAlong: 78, gapAcross: 14, vertical: true };
/// Above this many calls only those that matter carry a readable label.
const MANY_CALLS = 30;
/// As in the style sheet.
const PHONE = 720;
/// The first view never makes cards smaller than this; the fit button does.
const READABLE = 0.42;
const GLIDE = 320;
const MOST_SPREAD = 90;
/// Where on its curve a label may stand, best first, and the room it needs.
const PILL_PLACES = [0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78];
const PILL = { width: 136, height: 30 };

export class Graph {
  #cards = new Map();
  #lines = new Map();
  #known = new Map();
  #shape = "";
  #arranged = null;
  #placed = null;
  #target = null;
  #size = WIDE;
  #samples = new Map();
  #mesh = null;
  #looking = { selected: null, query: "", failing: false };

  constructor(onSelect) {
    this.onSelect = onSelect;
    this.stage = $("stage");
    this.world = $("world");
    this.group = $("lines");
    this.view = new Viewport(this.stage, () => this.#transform());
    this.dots = new Dots($("dots"), this.view);
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.#resized()).observe(this.stage);
    this.stage.addEventListener("click", (event) => {
      if (["stage", "world", "lines", "lines-box"].includes(event.target.id)) this.onSelect(null);
    });
    this.world.addEventListener("keydown", (event) => this.#arrow(event));
    this.world.addEventListener("focusin", (event) => this.#focused(event.target));
    // The switches stand above the graph, not on it.
    addEventListener("faults", () => {
      if (!this.view.touched && innerWidth > PHONE) this.fit(READABLE);
    });
    $("zoom").addEventListener("click", (event) => this.zoom(event.target.dataset.zoom));
  }

  zoom(way) {
    if (way === "fit") this.fit(0);
    if (way === "in") this.view.zoom(1.25);
    if (way === "out") this.view.zoom(0.8);
  }

  update(mesh) {
    this.#mesh = mesh;
    this.#remember(mesh);
    const size =
      this.stage.clientWidth < 640 && this.stage.clientHeight > this.stage.clientWidth * 0.8
        ? TALL
        : mesh.services.size > MANY_SERVICES
          ? DENSE
          : WIDE;
    const shape = JSON.stringify([[...mesh.services.keys()].sort(), [...this.#known.keys()].sort()]);
    this.world.classList.toggle("tall", size.vertical);
    this.world.classList.toggle("dense", size === DENSE);
    this.#cardsOf(mesh);
    this.#linesOf(mesh);
    // A hidden stage has no size to arrange for; it is arranged when it is seen.
    if (this.stage.clientWidth && (shape !== this.#shape || size !== this.#size)) {
      const first = !this.#shape || size !== this.#size;
      this.#shape = shape;
      this.#size = size;
      this.#arrange(mesh, first);
    }
    this.#mark();
    this.dots.update(mesh.edges.values(), this.#samples, (edge) => this.#isLit(edge));
  }

  look(looking) {
    this.#looking = { ...looking };
    if (!this.#mesh) return;
    this.#mark();
    this.dots.update(this.#mesh.edges.values(), this.#samples, (edge) => this.#isLit(edge));
  }

  /// A call that was quiet for a window keeps its place: nothing jumps when it comes back.
  #remember(mesh) {
    for (const [id, edge] of mesh.edges) {
      if (!this.#known.has(id)) this.#known.set(id, { id, source: edge.source, destination: edge.destination });
    }
    for (const [id, { source, destination }] of this.#known) {
      if (!mesh.services.has(source) || !mesh.services.has(destination)) this.#known.delete(id);
    }
  }

  #arrange(mesh, first) {
    const known = [...this.#known.values()];
    this.#arranged = arrange([...mesh.services.keys()], known, this.#arranged);
    const target = this.#roomy();
    const before = this.#placed;
    this.#target = target;
    this.#inReadingOrder(target);
    if (first || this.calm.matches || !before) {
      this.#show(target);
      this.fit(READABLE);
      return;
    }
    const start = performance.now();
    const glide = (now) => {
      // A newer arrangement has its own glide.
      if (this.#target !== target) return;
      const done = Math.min(1, (now - start) / GLIDE);
      const eased = 1 - (1 - done) ** 3;
      const nodes = new Map(
        [...target.nodes].map(([name, to]) => {
          const from = before.nodes.get(name) ?? to;
          return [name, { x: from.x + (to.x - from.x) * eased, y: from.y + (to.y - from.y) * eased }];
        }),
      );
      this.#show({ ...target, nodes });
      if (done < 1) requestAnimationFrame(glide);
    };
    requestAnimationFrame(glide);
    if (!this.view.touched) this.fit(READABLE);
  }

  /// Spreads the places of a layer when the stage would else stay empty above and below.
  #roomy() {
    const size = this.#size;
    const tight = place(this.#arranged, size);
    const [{ clientWidth, clientHeight }, margins] = [this.stage, this.#margins()];
    const scale = Math.min(1.2, (clientWidth - margins.left - margins.right) / tight.width);
    const most = Math.max(...this.#arranged.layers.map((layer) => layer.length), 2);
    const spare = (clientHeight - margins.top - margins.bottom) / scale - tight.height;
    if (size.vertical || spare < 40 || scale < READABLE) return tight;
    return place(this.#arranged, {
      ...size,
      gapAcross: size.gapAcross + Math.min(MOST_SPREAD, (spare * 0.6) / most),
    });
  }

  #inReadingOrder(placed) {
    const along = (name) => {
      const p = placed.nodes.get(name);
      return this.#size.vertical ? p.y : p.x;
    };
    const across = (name) => {
      const p = placed.nodes.get(name);
      return this.#size.vertical ? p.x : p.y;
    };
    const sorted = (names) => [...names].sort((a, b) => along(a) - along(b) || across(a) - across(b));
    const wanted = sorted(placed.nodes.keys()).flatMap((name) => {
      const calls = [...this.#lines.values()].filter((line) => line.edge.source === name);
      calls.sort((a, b) => across(a.edge.destination) - across(b.edge.destination));
      return [this.#cards.get(name).element, ...calls.map((line) => line.pill)];
    });
    const focused = document.activeElement;
    wanted.forEach((element, i) => {
      if (this.world.children[i] !== element) this.world.insertBefore(element, this.world.children[i] ?? null);
    });
    if (focused !== document.activeElement && this.world.contains(focused)) focused.focus({ preventScroll: true });
  }

  #show(placed) {
    this.#placed = placed;
    for (const [name, { x, y }] of placed.nodes) {
      const { element } = this.#cards.get(name);
      element.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    }
    const size = this.#size;
    this.#samples = new Map();
    const taken = [];
    for (const [id, segments] of curves(this.#arranged, placed, size, [...this.#known.values()])) {
      const line = this.#lines.get(id);
      const curve = sample(segments);
      this.#samples.set(id, curve);
      if (!line) continue;
      const [x0, y0] = segments[0];
      const path = `M${x0} ${y0}${segments
        .map(
          (s) =>
            `C${s
              .slice(2)
              .map((n) => n.toFixed(1))
              .join(" ")}`,
        )
        .join("")}`;
      line.path.setAttribute("d", path);
      line.hit.setAttribute("d", path);
      line.arrow.setAttribute("d", arrowHead(curve));
      line.middle = this.#free(curve, taken);
      line.pill.style.transform = `translate(${line.middle.x.toFixed(1)}px, ${line.middle.y.toFixed(1)}px)`;
    }
    if (this.#mesh) this.dots.update(this.#mesh.edges.values(), this.#samples, (edge) => this.#isLit(edge));
  }

  /// The first place on the curve where the label covers no other.
  #free(curve, taken) {
    const spots = (this.#known.size > MANY_CALLS ? [0.5] : PILL_PLACES).map((share) =>
      pointAt(curve, curve.total * share),
    );
    const overlaps = (a) =>
      taken.some((b) => Math.abs(a.x - b.x) < PILL.width && Math.abs(a.y - b.y) < PILL.height);
    const spot = spots.find((one) => !overlaps(one)) ?? spots[0];
    taken.push(spot);
    return spot;
  }

  #cardsOf(mesh) {
    for (const [name, card] of this.#cards) {
      if (!mesh.services.has(name)) {
        card.element.remove();
        this.#cards.delete(name);
      }
    }
    for (const service of mesh.services.values()) {
      let card = this.#cards.get(service.name);
      if (!card) {
        card = makeCard(service.name, () => this.onSelect({ kind: "service", id: service.name }));
        this.#cards.set(service.name, card);
        this.world.append(card.element);
      }
      fillCard(card, service);
    }
  }

  #linesOf(mesh) {
    this.world.classList.toggle("many", mesh.edges.size > MANY_CALLS);
    for (const [id, line] of this.#lines) {
      if (mesh.edges.has(id)) continue;
      for (const part of [line.path, line.hit, line.arrow, line.pill]) part.remove();
      this.#lines.delete(id);
    }
    for (const edge of mesh.edges.values()) {
      let line = this.#lines.get(edge.id);
      if (!line) {
        line = this.#makeLine(edge);
        this.#lines.set(edge.id, line);
        // A call that comes back has a place already, but its new elements must be put there.
        if (this.#shape) this.#shape += " ";
      }
      line.edge = edge;
      fillLine(line, edge);
    }
  }

  #makeLine(edge) {
    const choose = () => this.onSelect({ kind: "edge", id: edge.id, from: edge.source, to: edge.destination });
    const line = {
      path: svg("path", { class: "line" }),
      arrow: svg("path", { class: "arrow" }),
      middle: { x: 0, y: 0 },
    };
    line.pill = h(
      "button",
      { class: "pill", type: "button", "data-edge": edge.id, onclick: choose },
      h("span", { class: "sign" }),
      h("span", { class: "protocol" }),
      h("span", { class: "words" }),
    );
    const hover = (on) => () => {
      line.pill.classList.toggle("hover", on);
      line.path.classList.toggle("hover", on);
    };
    line.hit = svg("path", { class: "hit", onclick: choose });
    for (const part of [line.hit, line.pill]) {
      part.addEventListener("pointerenter", hover(true));
      part.addEventListener("pointerleave", hover(false));
    }
    this.group.append(line.path, line.arrow, line.hit);
    this.world.append(line.pill);
    return line;
  }

  #isLit(edge) {
    const { selected, query, failing } = this.#looking;
    if (query && !edgeMatches(edge, query)) return false;
    if (failing && !["warn", "error", "refused"].includes(edge.state) && !edge.refused) return false;
    if (selected?.kind === "edge") return edge.id === selected.id;
    if (selected?.kind === "service") return edge.source === selected.id || edge.destination === selected.id;
    return true;
  }

  #mark() {
    const { selected, query, failing } = this.#looking;
    const lit = new Set(selected?.kind === "service" ? [selected.id] : []);
    const isFiltered = Boolean(query) || failing;
    this.stage.classList.toggle("filtered", isFiltered);
    for (const edge of this.#mesh.edges.values()) {
      const on = this.#isLit(edge);
      const line = this.#lines.get(edge.id);
      if (on) lit.add(edge.source).add(edge.destination);
      for (const part of [line.path, line.arrow, line.pill]) part.classList.toggle("faint", !on);
      const chosen = selected?.kind === "edge" && selected.id === edge.id;
      line.pill.setAttribute("aria-pressed", String(chosen));
      line.path.classList.toggle("chosen", chosen);
      line.pill.tabIndex = isFiltered && !on ? -1 : 0;
    }
    for (const service of this.#mesh.services.values()) {
      const { element } = this.#cards.get(service.name);
      const named = query && matches(service.name, query);
      const bad = failing && ["warn", "error"].includes(service.state);
      const on = lit.has(service.name) || (!selected && (named || bad)) || (!selected && !isFiltered);
      element.classList.toggle("faint", !on);
      element.setAttribute("aria-pressed", String(selected?.kind === "service" && selected.id === service.name));
      element.tabIndex = isFiltered && !on ? -1 : 0;
    }
  }

  #margins() {
    return innerWidth <= PHONE
      ? { top: 14, right: 12, bottom: 56, left: 12 }
      : { top: $("faults").hidden ? 36 : $("faults").offsetHeight + 34, right: 44, bottom: 64, left: 44 };
  }

  fit(least) {
    if (this.#target) this.view.fit(this.#target.width, this.#target.height, this.#margins(), least || undefined);
  }

  #resized() {
    if (!this.#mesh || !this.stage.clientWidth) return;
    this.update(this.#mesh);
    if (!this.view.touched) this.fit(READABLE);
  }

  #transform() {
    const { x, y, scale } = this.view;
    const transform = `translate(${x.toFixed(2)}px, ${y.toFixed(2)}px) scale(${scale.toFixed(4)})`;
    this.world.style.transform = transform;
    $("lines-box").style.transform = transform;
    this.world.classList.toggle("far", scale < 0.5);
  }

  #boxOf(element) {
    const { service, edge } = element.dataset;
    if (service) return { ...this.#placed.nodes.get(service), width: this.#size.width, height: this.#size.height };
    const { middle } = this.#lines.get(edge);
    return { x: middle.x - 40, y: middle.y - 12, width: 80, height: 24 };
  }

  #focused(element) {
    if (!element.dataset.service && !element.dataset.edge) return;
    const { x, y, width, height } = this.#boxOf(element);
    this.view.reveal(x, y, width, height, this.#margins());
  }

  /// Makes the selected thing visible, for example above the sheet of a phone.
  revealSelected() {
    const { selected } = this.#looking;
    if (!this.#placed) return;
    if (innerWidth <= PHONE) {
      this.#besideSheet(selected);
      return;
    }
    if (!selected) return;
    const element =
      selected.kind === "edge" ? this.#lines.get(selected.id)?.pill : this.#cards.get(selected.id)?.element;
    if (element) this.#focused(element);
  }

  /// A phone shows the details over the graph: what they are about moves into what is left of it.
  #besideSheet(selected) {
    if (!selected) {
      if (!this.view.touched) this.fit(READABLE);
      return;
    }
    const names = selected.kind === "edge" ? [selected.from, selected.to] : [selected.id];
    const spots = names.map((name) => this.#placed.nodes.get(name)).filter(Boolean);
    if (!spots.length) return;
    const [x, y] = [Math.min(...spots.map((p) => p.x)), Math.min(...spots.map((p) => p.y))];
    const width = Math.max(...spots.map((p) => p.x)) + this.#size.width - x;
    const height = Math.max(...spots.map((p) => p.y)) + this.#size.height - y;
    this.view.show(x, y, width, height, { ...this.#margins(), bottom: $("panel").offsetHeight + 14 });
  }

  focus(selected) {
    const element =
      selected?.kind === "edge" ? this.#lines.get(selected.id)?.pill : this.#cards.get(selected?.id)?.element;
    (element ?? this.stage).focus({ preventScroll: true });
  }

  #arrow(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const centre = (element) => {
      const b = this.#boxOf(element);
      return { x: b.x + b.width / 2, y: b.y + b.height / 2 };
    };
    const here = centre(event.target);
    let [best, least] = [null, Infinity];
    for (const element of this.world.children) {
      if (element === event.target || element.tabIndex < 0) continue;
      const there = centre(element);
      const [dx, dy] = [there.x - here.x, there.y - here.y];
      const ahead = dx * way[0] + dy * way[1];
      const aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      if (ahead > 4 && ahead + 2 * aside < least) {
        best = element;
        least = ahead + 2 * aside;
      }
    }
    best?.focus({ preventScroll: true });
  }
}
