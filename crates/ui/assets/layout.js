// A layered layout: callers before callees, few crossings, and what was there before stays where it was.
// Ranks by longest path, order by barycentre, coordinates by exact least squares per layer. Every loop is capped.

const SWEEPS = 10;
const STRAIGHTEN = 10;
/// How thick a call is that passes between cards, and its distance from the next.
const BEND = 8;
/// Above this many in-between points long calls are drawn straight: routing them would cost more than it shows.
const MAX_BENDS = 3000;

/// Which layer and which place in it everybody has. `before` is an earlier result, whose order is kept when as good.
export function arrange(names, edges, before) {
  const linked = new Set(edges.flatMap((edge) => [edge.source, edge.destination]));
  const nodes = [...names].filter((name) => linked.has(name)).sort();
  const alone = [...names].filter((name) => !linked.has(name)).sort();
  const links = edges.filter((edge) => edge.source !== edge.destination).sort((a, b) => (a.id < b.id ? -1 : 1));
  const forward = orient(nodes, links);
  const rank = rankOf(nodes, forward);
  const graph = bend(nodes, forward, rank);
  order(graph, before);
  return { ...graph, rank, alone, place: places(graph.layers), chains: graph.chains };
}

const places = (layers) => new Map(layers.flatMap((layer) => layer.map((id, at) => [id, at])));

function neighbours(nodes, links, from, to) {
  const map = new Map(nodes.map((name) => [name, []]));
  for (const link of links) map.get(link[from]).push(link[to]);
  return map;
}

/// Turns round the calls that close a cycle. Walks from those nobody calls, so that a cycle breaks at its far end.
function orient(nodes, links) {
  const next = neighbours(nodes, links, "source", "destination");
  const called = new Set(links.map((link) => link.destination));
  const starts = [...nodes.filter((name) => !called.has(name)), ...nodes];
  const seen = new Map();
  const back = new Set();
  for (const start of starts) {
    if (seen.has(start)) continue;
    const path = [[start, 0]];
    seen.set(start, "open");
    while (path.length) {
      const top = path[path.length - 1];
      const [name, at] = top;
      const child = next.get(name)[at];
      if (child === undefined) {
        seen.set(name, "done");
        path.pop();
        continue;
      }
      top[1] += 1;
      if (seen.get(child) === "open") back.add(`${name}→${child}`);
      else if (!seen.has(child)) {
        seen.set(child, "open");
        path.push([child, 0]);
      }
    }
  }
  return links.map((link) => {
    const reversed = back.has(`${link.source}→${link.destination}`);
    const [top, bottom] = reversed ? [link.destination, link.source] : [link.source, link.destination];
    return { id: link.id, top, bottom, reversed };
  });
}

function rankOf(nodes, links) {
  const next = neighbours(nodes, links, "top", "bottom");
  const waiting = new Map(nodes.map((name) => [name, 0]));
  for (const link of links) waiting.set(link.bottom, waiting.get(link.bottom) + 1);
  const roots = nodes.filter((name) => !waiting.get(name));
  const rank = new Map(nodes.map((name) => [name, 0]));
  const ready = [...roots];
  while (ready.length) {
    const name = ready.pop();
    for (const child of next.get(name)) {
      rank.set(child, Math.max(rank.get(child), rank.get(name) + 1));
      waiting.set(child, waiting.get(child) - 1);
      if (!waiting.get(child)) ready.push(child);
    }
  }
  // Whoever is called by nobody stands just before the first that it calls.
  for (const name of roots)
    rank.set(name, Math.max(0, Math.min(...next.get(name).map((child) => rank.get(child))) - 1));
  return rank;
}

/// Splits calls over several layers into steps through points that take part in the ordering.
function bend(nodes, links, rank) {
  const layers = [];
  const put = (id, at) => (layers[at] ??= []).push(id);
  for (const name of nodes) put(name, rank.get(name));
  const bends = links.reduce((n, link) => n + rank.get(link.bottom) - rank.get(link.top) - 1, 0);
  const chains = new Map();
  const steps = [];
  for (const link of links) {
    const chain = [link.top];
    if (bends <= MAX_BENDS) {
      for (let at = rank.get(link.top) + 1; at < rank.get(link.bottom); at += 1) {
        const id = `\u0000${link.id}\u0000${at}`;
        put(id, at);
        chain.push(id);
      }
    }
    chain.push(link.bottom);
    for (let i = 1; i < chain.length; i += 1) steps.push([chain[i - 1], chain[i]]);
    chains.set(link.id, { points: chain, reversed: link.reversed });
  }
  for (let at = 0; at < layers.length; at += 1) layers[at] ??= [];
  const [up, down] = [new Map(), new Map()];
  for (const layer of layers)
    for (const id of layer) {
      up.set(id, []);
      down.set(id, []);
    }
  for (const [a, b] of steps) {
    down.get(a).push(b);
    up.get(b).push(a);
  }
  return { layers, chains, up, down };
}

export const isBend = (id) => id.charCodeAt(0) === 0;

function order(graph, before) {
  const { layers, up, down } = graph;
  if (before) {
    const old = (id) => before.place.get(id) ?? Number.MAX_SAFE_INTEGER;
    for (const layer of layers) layer.sort((a, b) => old(a) - old(b) || (a < b ? -1 : 1));
  }
  let best = layers.map((layer) => [...layer]);
  let fewest = crossings(layers, down);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep += 1) {
    const downward = sweep % 2 === 0;
    const at = places(layers);
    const list = downward ? layers.slice(1) : layers.slice(0, -1).reverse();
    for (const layer of list) {
      const beside = downward ? up : down;
      const centre = new Map(
        layer.map((id) => {
          const ids = beside.get(id);
          return [
            id,
            ids.length ? ids.reduce((total, other) => total + at.get(other), 0) / ids.length : at.get(id),
          ];
        }),
      );
      layer.sort((a, b) => centre.get(a) - centre.get(b) || at.get(a) - at.get(b));
      layer.forEach((id, i) => at.set(id, i));
    }
    const now = crossings(layers, down);
    if (now < fewest) {
      fewest = now;
      best = layers.map((layer) => [...layer]);
    }
  }
  layers.splice(0, layers.length, ...best);
}

function crossings(layers, down) {
  let total = 0;
  for (let i = 0; i + 1 < layers.length; i += 1) {
    const at = new Map(layers[i + 1].map((id, place) => [id, place]));
    const ends = layers[i].flatMap((id) =>
      down
        .get(id)
        .map((other) => at.get(other))
        .filter((p) => p !== undefined)
        .sort((a, b) => a - b),
    );
    total += inversions(ends, layers[i + 1].length);
  }
  return total;
}

/// Counts pairs in the wrong order with a Fenwick tree.
function inversions(list, size) {
  const tree = new Array(size + 1).fill(0);
  let total = 0;
  list.forEach((value, seen) => {
    let notAbove = 0;
    for (let i = value + 1; i > 0; i -= i & -i) notAbove += tree[i];
    total += seen - notAbove;
    for (let i = value + 1; i <= size; i += i & -i) tree[i] += 1;
  });
  return total;
}

/// Coordinates. `size` = { width, height, gapAlong, gapAcross, vertical }: layers go along, places across.
export function place(arranged, size) {
  const { layers, up, down } = arranged;
  const [along, across] = size.vertical ? [size.height, size.width] : [size.width, size.height];
  const thick = (id) => (isBend(id) ? BEND : across);
  // Calls that pass by need less room than cards.
  const gap = (a, b) =>
    isBend(a) ? (isBend(b) ? BEND : size.gapAcross * 0.6) : size.gapAcross * (isBend(b) ? 0.6 : 1);
  const apart = (a, b) => (thick(a) + thick(b)) / 2 + gap(a, b);
  const at = new Map();
  for (const layer of layers) {
    let next = 0;
    layer.forEach((id, i) => {
      if (i) next += apart(layer[i - 1], id);
      at.set(id, next);
    });
    for (const id of layer) at.set(id, at.get(id) - next / 2);
  }
  for (let round = 0; round < STRAIGHTEN; round += 1) {
    const both = round >= STRAIGHTEN - 2;
    const list = round % 2 ? [...layers].reverse() : layers;
    for (const layer of list)
      straighten(layer, at, apart, (id) => {
        if (both) return [...up.get(id), ...down.get(id)];
        return (round % 2 ? down : up).get(id);
      });
  }
  return finish(arranged, at, size, along, across);
}

/// Moves a layer as near to its neighbours as the order and the gaps allow (pool adjacent violators).
function straighten(layer, at, apart, beside) {
  let offset = 0;
  const pools = [];
  layer.forEach((id, i) => {
    if (i) offset += apart(layer[i - 1], id);
    const ids = beside(id);
    const wish = ids.length ? ids.reduce((total, other) => total + at.get(other), 0) / ids.length : at.get(id);
    const weight = ids.length ? (isBend(id) ? 3 : 1) : 0.2;
    pools.push({ ids: [[id, offset]], weight, sum: (wish - offset) * weight });
    while (pools.length > 1) {
      const [a, b] = pools.slice(-2);
      if (a.sum / a.weight <= b.sum / b.weight) break;
      pools.splice(-2, 2, { ids: [...a.ids, ...b.ids], weight: a.weight + b.weight, sum: a.sum + b.sum });
    }
  });
  for (const pool of pools) for (const [id, shift] of pool.ids) at.set(id, pool.sum / pool.weight + shift);
}

function finish(arranged, at, size, along, across) {
  const least = Math.min(0, ...[...at].map(([id, centre]) => centre - (isBend(id) ? BEND / 2 : across / 2)));
  const layerOf = new Map(arranged.layers.flatMap((layer, i) => layer.map((id) => [id, i])));
  const position = (id) => {
    const a = layerOf.get(id) * (along + size.gapAlong);
    const c = at.get(id) - least - across / 2;
    return size.vertical ? { x: c, y: a } : { x: a, y: c };
  };
  const nodes = new Map([...at.keys()].filter((id) => !isBend(id)).map((id) => [id, position(id)]));
  const bends = new Map([...at.keys()].filter(isBend).map((id) => [id, position(id)]));
  let width = Math.max(0, ...[...nodes.values()].map((p) => p.x + size.width));
  let height = Math.max(0, ...[...nodes.values()].map((p) => p.y + size.height));
  const top = nodes.size ? height + 56 : 0;
  const gap = Math.max(16, size.gapAcross);
  const fit = Math.floor(((nodes.size ? width : 0) + gap) / (size.width + gap));
  const columns = Math.max(
    1,
    fit || Math.min(size.vertical ? 2 : 5, Math.ceil(Math.sqrt(arranged.alone.length * 1.6))),
  );
  arranged.alone.forEach((name, i) => {
    const spot = { x: (i % columns) * (size.width + gap), y: top + Math.floor(i / columns) * (size.height + gap) };
    nodes.set(name, spot);
    width = Math.max(width, spot.x + size.width);
    height = Math.max(height, spot.y + size.height);
  });
  return { nodes, bends, width, height, aloneTop: arranged.alone.length && top ? top : null };
}

/// The curve of every call: cubic segments [x0 y0 x1 y1 x2 y2 x3 y3].
export function curves(arranged, placed, size, edges) {
  const ports = portsOf(arranged, placed, size);
  const result = new Map();
  for (const edge of edges) {
    const chain = arranged.chains.get(edge.id);
    const from = placed.nodes.get(edge.source);
    if (!from) continue;
    if (!chain) {
      result.set(edge.id, loop(from, size));
      continue;
    }
    const points = [ports.get(`${edge.id} out`)];
    for (const id of chain.points.slice(1, -1)) {
      const { x, y } = placed.bends.get(id);
      const middle = size.vertical ? x + size.width / 2 : y + size.height / 2;
      if (size.vertical) points.push({ x: middle, y }, { x: middle, y: y + size.height });
      else points.push({ x, y: middle }, { x: x + size.width, y: middle });
    }
    points.push(ports.get(`${edge.id} in`));
    if (chain.reversed) points.reverse();
    result.set(edge.id, smooth(points, size.vertical));
  }
  return result;
}

/// Where on a card's side each call leaves or arrives: in the order of the other ends, so that they do not cross there.
function portsOf(arranged, placed, size) {
  const sides = new Map();
  const coordinate = (id) => {
    const p = placed.nodes.get(id) ?? placed.bends.get(id);
    return size.vertical ? p.x : p.y;
  };
  for (const [id, { points }] of arranged.chains) {
    const add = (node, side, other) => {
      const key = `${side} ${node}`;
      sides.set(key, [...(sides.get(key) ?? []), { id, node, side, other: coordinate(other) }]);
    };
    add(points[0], "out", points[1]);
    add(points[points.length - 1], "in", points[points.length - 2]);
  }
  const ports = new Map();
  const [length, depth] = size.vertical ? [size.width, size.height] : [size.height, size.width];
  for (const list of sides.values()) {
    list.sort((a, b) => a.other - b.other || (a.id < b.id ? -1 : 1));
    const step = Math.min(18, (length - 28) / list.length);
    list.forEach(({ id, node, side }, i) => {
      const { x, y } = placed.nodes.get(node);
      const middle = length / 2 + (i - (list.length - 1) / 2) * step;
      const edge = side === "out" ? depth : 0;
      ports.set(`${id} ${side}`, size.vertical ? { x: x + middle, y: y + edge } : { x: x + edge, y: y + middle });
    });
  }
  return ports;
}

function smooth(points, vertical) {
  const segments = [];
  for (let i = 1; i < points.length; i += 1) {
    const [a, b] = [points[i - 1], points[i]];
    const bendX = vertical ? 0 : (b.x - a.x) / 2;
    const bendY = vertical ? (b.y - a.y) / 2 : 0;
    segments.push([a.x, a.y, a.x + bendX, a.y + bendY, b.x - bendX, b.y - bendY, b.x, b.y]);
  }
  return segments;
}

function loop({ x, y }, size) {
  const [a, b] = [x + size.width * 0.62, x + size.width * 0.88];
  return [[a, y, a - 6, y - 46, b + 6, y - 46, b, y]];
}
