// What a card and the label of a call say, and how they say it to those who do not see it.

import { h, setData, setText } from "./dom.js";
import { ms, percent, perSecond, protocolName } from "./format.js";
import { SIGNS } from "./mesh.js";

export function arrowHead({ points }) {
  const tip = points[points.length - 1];
  const back = points[Math.max(0, points.length - 2)];
  const long = Math.hypot(tip.x - back.x, tip.y - back.y) || 1;
  const [x, y] = [(tip.x - back.x) / long, (tip.y - back.y) / long];
  const at = (along, aside) =>
    `${(tip.x - x * along - y * aside).toFixed(1)} ${(tip.y - y * along + x * aside).toFixed(1)}`;
  return `M${at(1, 0)}L${at(11, 5.5)}L${at(8.5, 0)}L${at(11, -5.5)}Z`;
}

export function makeCard(name, onclick) {
  const figure = (label) => {
    const value = h("b", {});
    return { value, element: h("span", {}, value, h("i", {}, label)) };
  };
  const parts = {
    sign: h("span", { class: "sign" }),
    rate: figure("requests"),
    share: figure("errors"),
    p99: figure("p99"),
    instances: h("span", { class: "shapes" }),
    note: h("span", { class: "note" }),
  };
  parts.element = h(
    "button",
    { class: "card", type: "button", "data-service": name, onclick },
    h("span", { class: "title" }, h("span", { class: "name", title: name }, name), parts.sign),
    h("span", { class: "figures" }, parts.rate.element, parts.share.element, parts.p99.element),
    h("span", { class: "foot" }, parts.instances, parts.note),
  );
  return parts;
}

const MOST_SHAPES = 8;

export function fillCard(card, service) {
  const { stats, share, state, instances } = service;
  setData(card.element, "state", state);
  setData(card.element, "errorShare", stats.ErrorShare.toFixed(4));
  setData(card.element, "rate", stats.Rate.toFixed(2));
  setData(card.element, "entry", service.entry);
  setText(card.sign, SIGNS[state]);
  setText(card.rate.value, perSecond(stats.Rate));
  setText(card.share.value, stats.Requests ? percent(share) : "–");
  setText(card.p99.value, ms(stats.Requests ? stats.P99Ms : null));
  const shown = instances.slice(0, MOST_SHAPES);
  while (card.instances.children.length > shown.length) card.instances.lastChild.remove();
  shown.forEach((instance, i) => {
    const shape = card.instances.children[i] ?? card.instances.appendChild(h("i", {}));
    setData(shape, "state", instance.state);
    const failing = percent(instance.stats.ErrorShare);
    const title = `${instance.ID} on ${instance.Node}: ${instance.Status}, ${failing} errors`;
    if (shape.title !== title) shape.title = title;
  });
  const more = instances.length - shown.length;
  const words = instances.length === 1 ? "1 instance" : `${instances.length} instances`;
  setText(
    card.note,
    service.status && service.status !== "passing" ? service.status : more > 0 ? `+${more}` : words,
  );
  const label =
    `${service.name}: ${service.status || "not registered"}, ${perSecond(stats.Rate)}, ` +
    `${percent(share)} errors, p99 ${ms(stats.P99Ms)}, ${words}`;
  if (card.element.getAttribute("aria-label") !== label) card.element.setAttribute("aria-label", label);
}

export function fillLine(line, edge) {
  const { stats, share, state, refused } = edge;
  const width = Math.min(9, 1.6 + 1.7 * Math.log10(1 + stats.Rate));
  if (line.width !== width.toFixed(1)) {
    line.width = width.toFixed(1);
    line.path.setAttribute("stroke-width", line.width);
  }
  for (const part of [line.path, line.arrow, line.pill]) {
    setData(part, "state", state);
    setData(part, "refused", refused > 0);
  }
  setData(line.pill, "errorShare", stats.ErrorShare.toFixed(4));
  setData(line.pill, "rate", stats.Rate.toFixed(2));
  setData(line.pill, "requests", stats.TotalRequests);
  setText(
    line.pill.children[1],
    edge.protocol === "http" || state === "refused" ? "" : protocolName(edge.protocol),
  );
  setText(
    line.pill.firstChild,
    state === "ok" && !refused ? "" : refused && state !== "error" ? SIGNS.refused : SIGNS[state],
  );
  const failing = state === "warn" || state === "error";
  const parts = [edge.answered > 0 || !refused ? perSecond(stats.Rate) : `${refused} refused`];
  if (failing) parts.push(percent(share));
  if (refused && edge.answered > 0) parts.push(`${refused} refused`);
  setText(line.pill.lastChild, parts.join(" · "));
  const label =
    `${edge.source} calls ${edge.destination}${edge.protocol ? ` by ${edge.protocol}` : ""}: ` +
    `${perSecond(stats.Rate)}, ${percent(share)} errors, p99 ${ms(stats.P99Ms)}` +
    (refused ? `, ${refused} refused` : "");
  if (line.pill.getAttribute("aria-label") !== label) line.pill.setAttribute("aria-label", label);
}
