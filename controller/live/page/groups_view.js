/** The table of groups: how busy each stage is, what waits, what was lost. */

import { el, keyed, setAttribute, setProperty, setText } from './dom.js';
import { count, wholePercent } from './format.js';
import { SIGN } from './judge.js';
import { cell, row, rowGroup, rowHeader } from './rows.js';

/** @typedef {import('./types.js').GroupMeasures} GroupMeasures */

/** @param {HTMLElement} table @returns {(view: import('./types.js').View) => void} */
export function groupsView(table) {
  return ({ measures }) => {
    const sorted = [...measures.groups].sort((one, other) => Number(levelOf(one) !== 'bad') - Number(levelOf(other) !== 'bad'));
    keyed(table, sorted, (one) => one.document.id, groupRow);
  };
}

/** @param {GroupMeasures} group @returns {import('./types.js').Level} */
function levelOf({ document }) {
  if (document.state === 'open') return 'good';
  return document.state === 'lost' || document.state === 'given up' ? 'bad' : 'warn';
}

/** @param {GroupMeasures} first */
function groupRow(first) {
  const sign = el('span', { class: 'sign', 'aria-hidden': 'true' });
  const words = el('span', { class: 'words' });
  const stages = el('ul', { class: 'stages' });
  const config = cell('tensor × pipeline');
  const [waiting, running, restarts] = [cell('waiting'), cell('running'), cell('restarts')];
  const models = cell('', 'left names');
  const header = rowHeader(sign, el('span', { class: 'name' }, first.document.id), el('span', { class: 'hidden' }, ', '), words);
  const node = rowGroup(row('main', header, cell('', 'left stages-cell', stages), config, waiting, running, restarts, models));
  return {
    node,
    /** @param {GroupMeasures} group */
    update(group) {
      const document = group.document;
      const level = levelOf(group);
      setAttribute(node, 'class', `item ${level}`);
      setText(sign, SIGN[level]);
      setText(words, document.why && document.state !== 'open' ? `${document.state}: ${document.why}` : document.state);
      setText(config, `${document.tensor} × ${document.pipeline}`);
      setText(waiting, count(document.waiting));
      setText(running, count(document.running));
      setText(restarts, count(document.num_restarts));
      setText(models, document.models.join(', ') || 'none');
      const shares = group.utilisation.map((share, stage) => ({ share, stage }));
      keyed(stages, shares, (one) => String(one.stage), stageBar);
    },
  };
}

/** @param {{share: number, stage: number}} first */
function stageBar(first) {
  const words = el('span', { class: 'number' });
  const bar = el('i', { 'aria-hidden': 'true' });
  const node = el('li', {}, el('span', { class: 'dim' }, String(first.stage)), bar, words);
  node.setAttribute('aria-label', `stage ${first.stage}`);
  return {
    node,
    /** @param {{share: number, stage: number}} now */
    update({ share }) {
      setText(words, wholePercent(share));
      setProperty(bar, '--share', share.toFixed(3));
      setAttribute(node, 'class', share >= 0.9 ? 'full' : null);
    },
  };
}
