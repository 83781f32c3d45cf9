/** The token of the person who looks: asked for when the fleet wants one, kept in this tab alone. */

import { byId, setText } from './dom.js';

const KEY = 'statmux-token';

/** @returns {Record<string, string>} */
export function tokenHeaders() {
  const token = stored();
  return token ? { authorization: `Bearer ${token}` } : {};
}

export class Door {
  #door = byId('door');
  #words = byId('door-words');
  #input = /** @type {HTMLInputElement} */ (byId('token'));

  /** @param {() => void} onToken  Try again. */
  constructor(onToken) {
    byId('door-form').addEventListener('submit', (event) => {
      event.preventDefault();
      keep(this.#input.value.trim());
      this.#input.value = '';
      onToken();
    });
  }

  get isOpen() {
    return !this.#door.hidden;
  }

  /** @param {number} status  401 or 403, as the fleet has answered. */
  ask(status) {
    const had = stored() !== '';
    setText(this.#words, status === 403 ? 'This token is known, and not for this: it needs the scope metrics or admin.'
      : had ? 'The fleet does not know this token.' : '');
    keep('');
    if (this.isOpen) return;
    this.#door.hidden = false;
    byId('page').hidden = true;
    this.#input.focus();
  }

  close() {
    if (!this.isOpen) return;
    this.#door.hidden = true;
    byId('page').hidden = false;
    byId('content').focus();
  }
}

let held = '';

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? held;
  } catch {
    return held;
  }
}

/** @param {string} token */
function keep(token) {
  held = token;
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Then it is gone with the page.
  }
}
