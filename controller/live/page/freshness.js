/** How old what is shown is. Once nobody answers, all of it turns grey and says since when. */

import { byId, setAttribute, setText } from './dom.js';
import { clock, span } from './format.js';

export class Freshness {
  #place = byId('fresh');
  #heard_ms = 0;
  #silent_ms = 0;
  #again_ms = 0;
  #why = '';

  constructor() {
    setInterval(() => this.#show(), 1000);
  }

  heard() {
    this.#heard_ms = Date.now();
    this.#silent_ms = 0;
    this.#show();
  }

  /** @param {string} why @param {number} wait_ms  until it is asked again. */
  silent(why, wait_ms) {
    this.#silent_ms ||= this.#heard_ms || Date.now();
    this.#again_ms = Date.now() + wait_ms;
    this.#why = why;
    this.#show();
  }

  #show() {
    const isSilent = this.#silent_ms > 0;
    setAttribute(document.documentElement, 'data-stale', isSilent ? '' : null);
    setAttribute(this.#place, 'class', isSilent ? 'fresh gone' : 'fresh');
    if (!isSilent) {
      setText(this.#place, this.#heard_ms ? `as of ${clock(this.#heard_ms / 1000, Date.now() / 1000)}` : '');
      return;
    }
    const since = clock(this.#silent_ms / 1000, Date.now() / 1000);
    const wait_s = Math.max(0, Math.ceil((this.#again_ms - Date.now()) / 1000));
    const next = wait_s ? `next try in ${span(wait_s)}` : 'trying';
    const shown = this.#heard_ms ? '; what is shown is as of then' : '';
    setText(this.#place, `✕ No answer since ${since} (${this.#why}), ${next}${shown}`);
  }
}
