/** Why requests were not served, and what the fleet decided, the latest first. */

import { el, keyed, setAttribute, setText } from './dom.js';
import { clock, count } from './format.js';

/** @typedef {import('./types.js').View} View */
/** @typedef {import('./types.js').EventDocument} EventDocument */
/** @typedef {import('./types.js').RefusedDocument} RefusedDocument */

const NUM_SHOWN = 8;
/** Of a decision: what kind of thing it is, in a word. @type {Record<string, [string, string]>} */
const KINDS = {
  group_lost: ['lost', 'bad'], group_given_up: ['given up', 'bad'], front_end_lost: ['lost', 'bad'],
  no_plan: ['no plan', 'bad'], ray_died: ['lost', 'bad'], journal_put_aside: ['journal', 'warn'],
  drain: ['drain', 'warn'], devices: ['devices', 'warn'], plan: ['plan', ''], replan: ['plan', ''],
  apply: ['change', ''], autoscale: ['scale', ''], started: ['start', ''], converged: ['settled', ''],
};

/** One reason, and the models it was told to. @typedef {{reason: string, meaning: string, now: number,
 * models: RefusedDocument[]}} Reason */

/** @param {HTMLElement} list @param {HTMLElement} of  Where it says of how many. @returns {(view: View) => void} */
export function refusedView(list, of) {
  return ({ document }) => {
    const { num_requests, problem } = document.decisions;
    const answered = Object.values(document.models).reduce((sum, one) => sum + one.counts.answered, 0);
    const isAll = answered <= num_requests;
    setText(of, isAll ? 'since the start' : `of the last ${count(num_requests)} requests`);
    const reasons = reasonsOf(document);
    const empty = answered ? `Every request ${isAll ? 'since the start ' : ''}was served.` : 'No requests yet.';
    setAttribute(list, 'data-empty', reasons.length ? null : problem || empty);
    keyed(list, reasons, (one) => one.reason, reasonBlock);
  };
}

/** @param {import('./types.js').LiveDocument} document @returns {Reason[]} */
function reasonsOf({ decisions, unix_s }) {
  /** @type {Map<string, Reason>} */
  const found = new Map();
  for (const one of decisions.refused) {
    const known = found.get(one.reason) ?? { reason: one.reason, meaning: one.meaning, now: unix_s, models: [] };
    known.models.push(one);
    found.set(one.reason, known);
  }
  if (decisions.retried.length) {
    found.set('retried', {
      reason: 'retried', now: unix_s,
      meaning: 'Their group was lost before it had begun, so they were given to another.',
      models: decisions.retried.map((one) => ({ ...one, reason: 'retried', words: '', meaning: '' })),
    });
  }
  return [...found.values()];
}

/** @param {Reason} first */
function reasonBlock(first) {
  const models = el('ul');
  const tag = el('span', { class: 'tag warn' }, first.reason.replaceAll('_', ' '));
  const node = el('li', {}, el('p', {}, tag), models, el('p', { class: 'dim meaning' }, first.meaning));
  return {
    node,
    /** @param {Reason} reason */
    update: (reason) => keyed(models, reason.models.map((one) => ({ ...one, now: reason.now })), (one) => one.model, refusedLine),
  };
}

/** @param {RefusedDocument & {now: number}} first */
function refusedLine(first) {
  const [num, told, words] = [el('b'), el('span', { class: 'dim' }), el('span', { class: 'quote' })];
  const node = el('li', {}, num, ' ', el('span', { class: 'name' }, first.model || 'no known model'), ' ', told, ' ', words);
  return {
    node,
    /** @param {RefusedDocument & {now: number}} now */
    update(now) {
      setText(num, `${count(now.num)} ×`);
      setText(told, `last at ${clock(now.last_unix_s, now.now)}`);
      setText(words, now.words ? `“${now.words}”` : '');
    },
  };
}

/** @param {HTMLElement} list @param {HTMLElement} more  A button that shows all. @returns {(view: View) => void} */
export function decisionsView(list, more) {
  let isWhole = false;
  let redraw = () => {};
  more.addEventListener('click', () => {
    isWhole = !isWhole;
    redraw();
  });
  return ({ document }) => {
    redraw = () => {
      const { events, problem } = document.decisions;
      const shown = (isWhole ? events : events.slice(0, NUM_SHOWN)).map((one) => ({ ...one, now: document.unix_s }));
      keyed(list, shown, (one) => `${one.unix_s} ${one.kind} ${one.group} ${one.sentence}`, decisionLine);
      setAttribute(more, 'hidden', events.length > NUM_SHOWN ? null : '');
      setAttribute(more, 'aria-expanded', String(isWhole));
      setText(more, isWhole ? 'Show the latest only' : `Show ${events.length - NUM_SHOWN} earlier ones`);
      setAttribute(list, 'data-empty', events.length ? null : problem || 'Nothing was decided yet.');
    };
    redraw();
  };
}

/** @param {EventDocument & {now: number}} event */
function decisionLine(event) {
  const [name, level] = KINDS[event.kind] ?? [event.kind.replaceAll('_', ' '), ''];
  const time = el('time', { datetime: new Date(event.unix_s * 1000).toISOString() });
  const tag = el('span', { class: `tag ${level}`.trim() }, name);
  const words = event.sentence.charAt(0).toUpperCase() + event.sentence.slice(1);
  const node = el('li', {}, time, tag, el('span', {}, words));
  return {
    node,
    /** @param {EventDocument & {now: number}} now */
    update: (now) => setText(time, clock(now.unix_s, now.now)),
  };
}
