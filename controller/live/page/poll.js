/** Asks for the document again and again: while the page is seen, and less often while nobody answers. */

import { tokenHeaders } from './token.js';

const EVERY_MS = 2000;
const LONGEST_MS = 30000;
const PATIENCE_MS = 10000;

/** @typedef {import('./types.js').LiveDocument} LiveDocument */

/**
 * @typedef {object} Hearing
 * @property {(document: LiveDocument) => void} heard
 * @property {(status: number) => void} refused  401 or 403: it asks no more until `now` is called.
 * @property {(why: string, again_ms: number) => void} silent
 */

export class Poll {
  #hearing;
  #url;
  #timer = 0;
  #num_failed = 0;
  #isAsking = false;
  #isStopped = false;

  /** @param {URL} url @param {Hearing} hearing */
  constructor(url, hearing) {
    this.#url = url;
    this.#hearing = hearing;
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible' && !this.#isStopped) this.now();
    });
    addEventListener('online', () => !this.#isStopped && this.now());
  }

  /** Ask at once, and from now on. */
  now() {
    this.#isStopped = false;
    clearTimeout(this.#timer);
    if (!this.#isAsking) void this.#ask();
  }

  async #ask() {
    this.#isAsking = true;
    let wait_ms = EVERY_MS;
    try {
      const document = await this.#fetched();
      this.#num_failed = 0;
      if (document) this.#hearing.heard(document);
    } catch (error) {
      wait_ms = Math.min(EVERY_MS * 2 ** this.#num_failed, LONGEST_MS);
      this.#num_failed += 1;
      this.#hearing.silent(error instanceof Failure ? error.message : 'it does not answer', wait_ms);
    }
    this.#isAsking = false;
    const isSeen = document.visibilityState === 'visible';
    if (isSeen && !this.#isStopped) this.#timer = setTimeout(() => this.now(), wait_ms);
  }

  /** @returns {Promise<?LiveDocument>} null where a token is wanted. */
  async #fetched() {
    const reply = await fetch(this.#url, {
      headers: tokenHeaders(), cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (reply.status === 401 || reply.status === 403) {
      this.#isStopped = true;
      this.#hearing.refused(reply.status);
      return null;
    }
    if (!reply.ok) throw new Failure(await said(reply));
    return reply.json();
  }
}

class Failure extends Error {}

/** @param {Response} reply */
async function said(reply) {
  try {
    return (await reply.json()).error.message;
  } catch {
    return `it answers ${reply.status}`;
  }
}
