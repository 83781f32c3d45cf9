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
    const now_ms = Date.now();
    const isSilent = this.#silent_ms > 0;
    setAttribute(document.documentElement, 'data-stale', isSilent ? '' : null);
    setText(this.#place, this.#heard_ms ? clock(this.#heard_ms / 1000, now_ms / 1000) : '–');
    byId('gone').hidden = !isSilent;
    if (!isSilent) return;
    const since = clock(this.#silent_ms / 1000, now_ms / 1000);
    const shown = this.#heard_ms ? ' What is shown is as of then.' : '';
    setText(byId('gone-words'), `No answer since ${since}: ${this.#why}.${shown}`);
    const wait_s = Math.max(0, Math.ceil((this.#again_ms - now_ms) / 1000));
    setText(byId('gone-next'), `${span((now_ms - this.#silent_ms) / 1000)} ago; ${wait_s ? `next try in ${span(wait_s)}` : 'trying'}`);
  }
}
