/** Documents of the last minute as counters that only grow, whatever restarts; and what they grew by. */

/** @typedef {import('./types.js').LiveDocument} LiveDocument */

export const SPAN_S = 60;
/** Rates of a sparkline are over so long: of two seconds they would be noise. */
const SMOOTH_S = 10;
const NUM_RATES = 120;

/** @typedef {{unix_s: number, values: Map<string, number[]>}} Snapshot */

/**
 * What counters grew by between two instants.
 * @typedef {object} Growth
 * @property {number} seconds
 * @property {boolean} isSinceStart  There is one document so far: these are totals.
 * @property {(key: string) => number[]} of  Empty for what was never counted.
 */

export class History {
  /** @type {Snapshot[]} */ #snapshots = [];
  /** @type {Map<string, number[]>} */ #last = new Map();
  /** @type {Map<string, number[]>} */ #lost = new Map();
  /** @type {Map<string, number[]>} */ #rates = new Map();
  #started = NaN;
  #uptime = 0;

  /** @param {LiveDocument} document */
  add(document) {
    if (document.started_unix_s !== this.#started) this.#forgetLast();
    this.#started = document.started_unix_s;
    this.#uptime = document.uptime_s;
    const values = new Map();
    for (const [key, value] of countersOf(document)) values.set(key, this.#unwound(key, value));
    this.#snapshots.push({ unix_s: document.unix_s, values });
    while (this.#snapshots.length > 2 && document.unix_s - this.#snapshots[1].unix_s >= SPAN_S) {
      this.#snapshots.shift();
    }
    this.#note(this.growth(SMOOTH_S));
  }

  /** Over the last `span_s`, or as much of it as there is. @param {number} [span_s] @returns {Growth} */
  growth(span_s = SPAN_S) {
    const now = this.#snapshots[this.#snapshots.length - 1];
    const since = this.#snapshots.filter((one) => one !== now && now.unix_s - one.unix_s >= span_s).pop();
    const then = since ?? this.#snapshots[0];
    if (then === now) {
      return { seconds: this.#uptime, isSinceStart: true, of: (key) => this.#last.get(key) ?? [] };
    }
    return {
      seconds: Math.max(now.unix_s - then.unix_s, 1e-3),
      isSinceStart: false,
      of: (key) => less(now.values.get(key) ?? [], then.values.get(key) ?? []),
    };
  }

  /** Answered per second of a model, "" for all, over the last minutes. @param {string} model */
  rates(model) {
    return this.#rates.get(model) ?? [];
  }

  /** @param {Growth} growth */
  #note(growth) {
    if (growth.isSinceStart) return;
    let total = 0;
    for (const key of this.#last.keys()) {
      const model = key.startsWith('answered ') ? key.slice('answered '.length) : null;
      if (model === null) continue;
      const rate = (growth.of(key)[0] ?? 0) / growth.seconds;
      total += rate;
      this.#keep(model, rate);
    }
    this.#keep('', total);
  }

  /** @param {string} model @param {number} rate */
  #keep(model, rate) {
    const rates = this.#rates.get(model) ?? [];
    rates.push(rate);
    if (rates.length > NUM_RATES) rates.shift();
    this.#rates.set(model, rates);
  }

  /** A counter that fell began again at zero. @param {string} key @param {number[]} value */
  #unwound(key, value) {
    const last = this.#last.get(key);
    // What a worker did before it was heard of here is nothing that it did of late.
    if (!last && isOfWorker(key)) this.#lose(key, value.map((one) => -one));
    if (last && value.some((one, index) => one < (last[index] ?? 0))) this.#lose(key, last);
    this.#last.set(key, value);
    const lost = this.#lost.get(key);
    return lost ? value.map((one, index) => one + (lost[index] ?? 0)) : value;
  }

  /** Another controller counts now: its counters began again, also those that have overtaken already. Workers
   * live on. */
  #forgetLast() {
    for (const [key, last] of this.#last) {
      if (isOfWorker(key)) continue;
      this.#lose(key, last);
      this.#last.delete(key);
    }
  }

  /** @param {string} key @param {number[]} last */
  #lose(key, last) {
    const lost = this.#lost.get(key) ?? [];
    this.#lost.set(key, last.map((one, index) => one + (lost[index] ?? 0)));
  }
}

/**
 * Everything in a document that only grows, under names of its own.
 * @param {LiveDocument} document
 * @returns {Map<string, number[]>}
 */
export function countersOf(document) {
  const found = new Map();
  for (const [name, model] of Object.entries(document.models)) {
    const counts = model.counts;
    found.set(`answered ${name}`, [counts.answered, counts.served]);
    found.set(`judged ${name}`, [counts.met, counts.missed]);
    for (const [objective, two] of Object.entries(counts.objectives)) found.set(`${objective} ${name}`, two);
    for (const [reason, num] of Object.entries(counts.rejected)) found.set(`rejected ${name} ${reason}`, [num]);
    for (const [kind, one] of Object.entries(model.histograms)) found.set(`${kind} ${name}`, one.buckets);
  }
  for (const group of document.groups) {
    // Without a heartbeat nothing is known, which is not zero.
    if (group.stage_busy_s.length) found.set(`busy ${group.id}`, group.stage_busy_s);
  }
  return found;
}

/** Whether a worker counts it, whatever becomes of the controller. @param {string} key */
function isOfWorker(key) {
  return key.startsWith('busy ');
}

/** @param {number[]} now @param {number[]} then */
function less(now, then) {
  return now.map((one, index) => Math.max(0, one - (then[index] ?? 0)));
}
