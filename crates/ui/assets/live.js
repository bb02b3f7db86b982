// The newest topology: one GET, then server-sent events of the same address, and polling while those do not come.

const STALE_AFTER = 3500; // a document comes every second
const REOPEN_AFTER = 12_000; // an event stream that is open and silent is dead
const REOPEN_CLOSED_AFTER = 5000;
const POLL_EVERY = 2000;
const GIVE_UP_AFTER = 8000;
const TICK = 500;

export class Live {
  #events = null;
  #opened = 0;
  #heard = 0;
  #polled = 0;
  #lastEvent = 0;
  #generation = 0;
  #window = 60;
  #failure = "";

  constructor(onDocument, onState) {
    this.onDocument = onDocument;
    this.onState = onState;
    setInterval(() => this.#tick(), TICK);
    addEventListener("online", () => this.watch(this.#window));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#tick();
    });
  }

  /// Starts over with another window.
  async watch(window) {
    this.#window = window;
    this.#generation += 1;
    this.#events?.close();
    this.#events = null;
    await this.#poll();
    this.#open();
  }

  #address() {
    return `/v1/insight/topology?window=${this.#window}s`;
  }

  async #poll() {
    const generation = this.#generation;
    this.#polled = Date.now();
    const given = {
      headers: { Accept: "application/json" },
      cache: "no-store",
      signal: AbortSignal.timeout(GIVE_UP_AFTER),
    };
    let document_;
    try {
      const response = await fetch(this.#address(), given);
      if (!response.ok) throw new Error(`the agent answered ${response.status}`);
      document_ = await response.json();
    } catch (error) {
      this.#failure = error.message.startsWith("the agent") ? error.message : "the agent does not answer";
    }
    this.#take(document_, generation, "poll");
  }

  #open() {
    const generation = this.#generation;
    this.#events?.close();
    const events = new EventSource(this.#address());
    this.#events = events;
    this.#opened = Date.now();
    events.addEventListener("topology", (event) => {
      let document_;
      try {
        document_ = JSON.parse(event.data);
      } catch {
        this.#failure = "the agent sent something that is not JSON";
      }
      this.#take(document_, generation, "events");
    });
  }

  #take(document_, generation, way) {
    // An answer for a window that is no longer looked at.
    if (generation !== this.#generation || !document_) return;
    this.#heard = Date.now();
    if (way === "events") this.#lastEvent = this.#heard;
    this.#failure = "";
    this.onDocument(document_);
    this.onState({ state: "live", way, age: 0 });
  }

  #tick() {
    const now = Date.now();
    const silent = now - this.#heard;
    if (silent >= STALE_AFTER) {
      const age = this.#heard ? silent / 1000 : null;
      this.onState({ state: this.#heard ? "stale" : "connecting", age, why: this.#failure });
    }
    if (document.hidden || !this.#events) return;
    const quiet = now - Math.max(this.#opened, this.#lastEvent);
    const isClosed = this.#events.readyState === EventSource.CLOSED;
    if ((isClosed || quiet >= STALE_AFTER) && now - this.#polled >= POLL_EVERY) this.#poll();
    if (quiet >= REOPEN_AFTER || (isClosed && now - this.#opened >= REOPEN_CLOSED_AFTER)) this.#open();
  }
}
