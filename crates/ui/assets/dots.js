// Requests as dots that travel along the calls: more dots for more requests, diamonds for those that fail.

const SPEED = 70; // world units per second
const MOST_DOTS = 900;
const PER_SEGMENT = 14;
const SLOW_DEVICE_FRAME = 33;

/// A curve as points with their distance from its start.
export function sample(segments) {
  const points = [];
  let total = 0;
  segments.forEach(([x0, y0, x1, y1, x2, y2, x3, y3], i) => {
    for (let step = i ? 1 : 0; step <= PER_SEGMENT; step += 1) {
      const t = step / PER_SEGMENT;
      const u = 1 - t;
      const [a, b, c, d] = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
      const x = a * x0 + b * x1 + c * x2 + d * x3;
      const y = a * y0 + b * y1 + c * y2 + d * y3;
      const last = points[points.length - 1];
      if (last) total += Math.hypot(x - last.x, y - last.y);
      points.push({ x, y, at: total });
    }
  });
  return { points, total };
}

export function pointAt({ points }, distance) {
  let [low, high] = [0, points.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle].at <= distance) low = middle;
    else high = middle;
  }
  const [a, b] = [points[low], points[high]];
  const share = b.at > a.at ? (distance - a.at) / (b.at - a.at) : 0;
  return { x: a.x + (b.x - a.x) * share, y: a.y + (b.y - a.y) * share };
}

/// Repeatable noise: the same dot on the same lap is always the same request.
function noise(seed) {
  const x = Math.sin(seed * 127.1 + 11.7) * 43758.5453;
  return x - Math.floor(x);
}

export class Dots {
  #lines = new Map();
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #last = 0;
  #colours = null;

  constructor(canvas, view) {
    this.canvas = canvas;
    this.view = view;
    this.context = canvas.getContext("2d");
    this.#still.addEventListener("change", () => this.#clear());
    const frame = (now) => {
      this.#frame(now);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  repaint() {
    this.#colours = null;
  }

  /// `edges` with rate, share and state; `curves` by edge id as made by `sample`; `shown` says which are not faint.
  update(edges, curves, shown) {
    const lines = new Map();
    for (const edge of edges) {
      const curve = curves.get(edge.id);
      const rate = edge.now.rate || edge.stats.Rate;
      if (!curve || !(rate > 0.05) || edge.answered <= 0) continue;
      const old = this.#lines.get(edge.id);
      // A new number of dots makes them jump, so it follows the rate only when that has really changed.
      const basis = old && Math.abs(Math.log(rate / old.basis)) < 0.5 ? old.basis : rate;
      const wanted = Math.round((curve.total / 130) * Math.sqrt(basis));
      lines.set(edge.id, {
        curve,
        basis,
        count: Math.min(18, Math.max(1, wanted)),
        share: edge.now.share ?? edge.share,
        faint: !shown(edge),
        seed: [...edge.id].reduce((n, c) => (n * 31 + c.charCodeAt(0)) % 9973, 7),
      });
    }
    const total = [...lines.values()].reduce((n, line) => n + line.count, 0);
    if (total > MOST_DOTS)
      for (const line of lines.values()) {
        line.count = Math.max(1, Math.floor((line.count * MOST_DOTS) / total));
      }
    this.#lines = lines;
  }

  #clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  #frame(now) {
    if (this.#still.matches || document.hidden || !this.#lines.size || !this.canvas.offsetParent) return;
    if (this.#lines.size > 80 && now - this.#last < SLOW_DEVICE_FRAME) return;
    this.#last = now;
    const density = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (this.canvas.width !== Math.round(width * density)) this.canvas.width = Math.round(width * density);
    if (this.canvas.height !== Math.round(height * density)) this.canvas.height = Math.round(height * density);
    this.#colours ??= this.#readColours();
    const { context, view } = this;
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    const size = Math.min(1.4, Math.max(0.55, view.scale));
    for (const line of this.#lines.values()) {
      context.globalAlpha = line.faint ? 0.12 : 1;
      for (let i = 0; i < line.count; i += 1) this.#dot(line, i, now, size, width, height);
    }
  }

  #dot(line, i, now, size, width, height) {
    const { total } = line.curve;
    const way = (now / 1000) * SPEED + (i / line.count) * total + noise(line.seed + i) * (total / line.count) * 0.6;
    const lap = Math.floor(way / total);
    const at = pointAt(line.curve, way % total);
    const x = at.x * this.view.scale + this.view.x;
    const y = at.y * this.view.scale + this.view.y;
    if (x < -8 || y < -8 || x > width + 8 || y > height + 8) return;
    const fails = line.share > 0 && noise(line.seed * 3 + i * 17 + lap * 5) < line.share;
    const { context } = this;
    context.beginPath();
    if (fails) {
      const r = 5.2 * size;
      context.moveTo(x, y - r);
      context.lineTo(x + r, y);
      context.lineTo(x, y + r);
      context.lineTo(x - r, y);
      context.closePath();
    } else {
      context.arc(x, y, 3.1 * size, 0, Math.PI * 2);
    }
    context.fillStyle = fails ? this.#colours.error : this.#colours.ok;
    context.fill();
    context.lineWidth = 1.2 * size;
    context.strokeStyle = this.#colours.ground;
    context.stroke();
  }

  #readColours() {
    // A custom property comes back as written; a real one comes back as the colour that is seen.
    const colour = (name) => {
      this.canvas.style.color = `var(${name})`;
      return getComputedStyle(this.canvas).color;
    };
    return { ok: colour("--dot"), error: colour("--error"), ground: colour("--ground") };
  }
}
