/** The top of the page: which fleet, how it is, the problems, and the figures of all of it. */

import { el, keyed, setAttribute, setText } from './dom.js';
import { bytesText, count, percent, rateText, span, wholePercent } from './format.js';
import { headlineOf, SIGN } from './judge.js';
import { sparkline } from './pictures.js';

/** @typedef {import('./types.js').View} View */
/** @typedef {import('./types.js').Problem} Problem */

/** @type {Record<string, string>} */
const STATE_LEVEL = { ready: 'good', degraded: 'bad', draining: 'warn', loading: 'warn', stopped: 'bad' };

/** Of what the headline says then. @type {Record<string, import('./types.js').Level>} */
const LIFE_LEVEL = { draining: 'warn', loading: 'warn', stopped: 'bad' };

/** @param {{fleet: HTMLElement, state: HTMLElement, about: HTMLElement}} places
 * @returns {(view: View) => void} */
export function titleView({ fleet, state, about }) {
  return ({ document: told, problems }) => {
    const level = /** @type {keyof typeof SIGN} */ (STATE_LEVEL[told.state] ?? 'warn');
    setText(fleet, told.fleet);
    setText(state, `${SIGN[level]} ${told.state}`);
    setAttribute(state, 'class', `state ${level}`);
    const bad = problems.filter((one) => one.level === 'bad').length;
    document.title = `${bad ? `(${bad}) ` : ''}${told.fleet} · statmux`;
    setText(about, aboutText(told));
  };
}

/** @param {import('./types.js').LiveDocument} told */
function aboutText(told) {
  const num = told.covers.num_front_ends;
  const covers = num > 1
    ? ` Of ${num} front ends: rates and attainment are of all; latencies, reasons and predictions are of the first.` : '';
  return `statmux ${told.version}, up ${span(told.uptime_s)}, plan ${told.plan.id} by ${told.plan.algorithm}.${covers}`;
}

/** @param {HTMLElement} headline @param {HTMLElement} list @returns {(view: View) => void} */
export function problemsView(headline, list) {
  return ({ document, problems }) => {
    setText(headline, headlineOf(document, problems));
    const worst = LIFE_LEVEL[document.state] ?? problems[0]?.level ?? 'good';
    setAttribute(headline, 'class', `headline ${worst}`);
    setAttribute(headline, 'data-sign', SIGN[worst]);
    keyed(list, problems, (one) => `${one.level} ${one.title} ${one.target ? '' : one.words}`, problemLine);
  };
}

/** @param {Problem} first */
function problemLine(first) {
  const words = el('span');
  const title = first.target ? el('a', { href: `#${first.target}` }, first.title) : el('span');
  const node = el('li', { class: first.level }, el('span', { class: 'sign', 'aria-hidden': 'true' }, SIGN[first.level]),
    el('div', {}, title, ' ', words));
  return { node, update: (/** @type {Problem} */ one) => setText(words, one.words) };
}

/** @param {HTMLElement} list @returns {(view: View) => void} */
export function figuresView(list) {
  const spark = sparkline();
  const rate = figure('Answered', spark.node);
  const [attainment, refused, waiting] = [figure('In time'), figure('Not served'), figure('Waiting')];
  const [busy, memory] = [figure('Busiest stage'), figure('Fullest device')];
  list.append(...[rate, attainment, refused, waiting, busy, memory].map((one) => one.node));
  return ({ document, measures }) => {
    const { fleet } = measures;
    spark.update(fleet.rates);
    rate.show(`${rateText(fleet.rate)}`, 'requests a second');
    attainment.show(percent(fleet.attainment), 'of those with an objective');
    refused.show(rateText(fleet.notServedRate), 'requests a second', fleet.notServedRate > 0);
    waiting.show(count(measures.groups.reduce((sum, one) => sum + one.document.waiting, 0)),
      `${count(document.num_pending)} unanswered in all`);
    const most = busiest(measures);
    busy.show(most ? wholePercent(most.share) : '–', most?.where ?? 'no group', (most?.share ?? 0) >= 0.9);
    const full = fullest(document);
    memory.show(full ? wholePercent(full.share) : '–', full?.words ?? 'memory is not known', (full?.share ?? 0) >= 0.97);
  };
}

/** @param {string} name @param {...Node} pictures */
function figure(name, ...pictures) {
  const [value, words] = [el('b'), el('span', { class: 'dim' })];
  const node = el('div', {}, el('dt', {}, name), el('dd', {}, value, words, ...pictures));
  return {
    node,
    /** @param {string} shown @param {string} told @param {boolean} [isMarked] */
    show(shown, told, isMarked = false) {
      setText(value, shown);
      setText(words, told);
      setAttribute(value, 'class', isMarked ? 'marked' : null);
    },
  };
}

/** @param {import('./types.js').Measures} measures */
function busiest(measures) {
  const stages = measures.groups.flatMap((one) =>
    one.utilisation.map((share, stage) => ({ share, where: `${one.document.id}, stage ${stage}` })));
  return stages.sort((one, other) => other.share - one.share)[0];
}

/** @param {import('./types.js').LiveDocument} document */
function fullest(document) {
  const devices = document.nodes.flatMap((node) => node.devices).flatMap((one) => {
    const used = one.used_bytes ?? one.planned_bytes;
    const all = one.used_bytes === undefined ? one.usable_bytes : one.total_bytes ?? one.usable_bytes;
    return used === null || !all ? [] : [{ share: used / all, words: `${one.id}, ${bytesText(used)}` }];
  });
  return devices.sort((one, other) => other.share - one.share)[0];
}
