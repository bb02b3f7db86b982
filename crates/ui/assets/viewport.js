// Pan and zoom of the stage: mouse, wheel, one and two fingers, keys. Knows nothing of what is drawn.

const LEAST = 0.08;
const MOST = 2.5;
const DRAG = 4;

export class Viewport {
  scale = 1;
  x = 0;
  y = 0;
  /// True once the user has moved the picture: from then on nothing moves it but the user.
  touched = false;
  #pointers = new Map();
  #moved = false;
  #pinch = 0;

  constructor(stage, onChange) {
    this.stage = stage;
    this.onChange = onChange;
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => this.#up(event));
    // The click that ends a drag is not a choice.
    stage.addEventListener(
      "click",
      (event) => {
        if (this.#moved) {
          event.stopPropagation();
          event.preventDefault();
          this.#moved = false;
        }
      },
      true,
    );
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #down(event) {
    if (event.button !== 0 || event.target.closest("#zoom, #legend, #empty")) return;
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#pointers.size === 1) this.#moved = false;
    this.#pinch = 0;
  }

  #move(event) {
    const last = this.#pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    if (!this.#moved && Math.hypot(dx, dy) < DRAG) return;
    if (!this.#moved) {
      this.#moved = true;
      this.stage.setPointerCapture(event.pointerId);
    }
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.touched = true;
    if (this.#pointers.size === 1) {
      this.x += dx;
      this.y += dy;
      this.onChange();
      return;
    }
    const [a, b] = [...this.#pointers.values()];
    const apart = Math.hypot(a.x - b.x, a.y - b.y);
    const box = this.stage.getBoundingClientRect();
    if (this.#pinch) this.zoom(apart / this.#pinch, (a.x + b.x) / 2 - box.left, (a.y + b.y) / 2 - box.top);
    this.#pinch = apart;
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
    this.#pinch = 0;
  }

  #wheel(event) {
    event.preventDefault();
    const box = this.stage.getBoundingClientRect();
    const lines = event.deltaMode === 1 ? 20 : 1;
    const strength = event.ctrlKey ? 0.01 : 0.0016;
    this.zoom(Math.exp(-event.deltaY * lines * strength), event.clientX - box.left, event.clientY - box.top);
  }

  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const scale = Math.min(MOST, Math.max(LEAST, this.scale * factor));
    const real = scale / this.scale;
    this.x = x - (x - this.x) * real;
    this.y = y - (y - this.y) * real;
    this.scale = scale;
    this.touched = true;
    this.onChange();
  }

  /// Shows all of `width` × `height`; `margins` = { top, right, bottom, left }; never smaller than `least`.
  fit(width, height, margins, least = LEAST) {
    const [roomX, roomY] = [
      Math.max(50, this.stage.clientWidth - margins.left - margins.right),
      Math.max(50, this.stage.clientHeight - margins.top - margins.bottom),
    ];
    if (!width || !height) return;
    this.scale = Math.min(1.25, Math.max(least, Math.min(roomX / width, roomY / height)));
    this.x = margins.left + Math.max(0, (roomX - width * this.scale) / 2);
    this.y = margins.top + Math.max(0, (roomY - height * this.scale) / 2);
    this.touched = false;
    this.onChange();
  }

  /// Puts a box of the world into the middle of what the margins leave, smaller if it must be, never larger.
  show(x, y, width, height, margins) {
    const roomX = Math.max(50, this.stage.clientWidth - margins.left - margins.right);
    const roomY = Math.max(50, this.stage.clientHeight - margins.top - margins.bottom);
    this.scale = Math.min(this.scale, roomX / width, roomY / height);
    this.x = margins.left + roomX / 2 - (x + width / 2) * this.scale;
    this.y = margins.top + roomY / 2 - (y + height / 2) * this.scale;
    this.onChange();
  }

  /// Moves as little as needed so that a box of the world is inside the margins.
  reveal(x, y, width, height, margins) {
    const shift = (low, high, from, to) =>
      low < from ? from - low : high > to ? Math.max(to - high, from - low) : 0;
    const left = x * this.scale + this.x;
    const top = y * this.scale + this.y;
    const dx = shift(left, left + width * this.scale, margins.left, this.stage.clientWidth - margins.right);
    const dy = shift(top, top + height * this.scale, margins.top, this.stage.clientHeight - margins.bottom);
    if (!dx && !dy) return;
    this.x += dx;
    this.y += dy;
    this.onChange();
  }
}
