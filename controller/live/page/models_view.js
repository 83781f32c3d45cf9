/** The table of models: the worst first, each with its latencies against what was asked. */

import { el, keyed, setAttribute, setText } from './dom.js';
import { count, duration, percent, quantileText, rateText } from './format.js';
import { isOver, LEVEL_NAME, rankOf, SIGN } from './judge.js';
import { latencyBar, sparkline } from './pictures.js';
import { cell, row, rowGroup, rowHeader } from './rows.js';

/** @typedef {import('./types.js').View} View */
/** @typedef {import('./types.js').ModelMeasures} ModelMeasures */
/** @typedef {import('./types.js').Latency} Latency */

/** @typedef {{model: ModelMeasures, verdict: import('./types.js').Verdict}} Judged */

const NUM_BETTER = 10;

/** @param {HTMLElement} table @returns {(view: View) => void} */
export function modelsView(table) {
  const places = new Places();
  return ({ measures, verdicts }) => {
    /** @type {Judged[]} */
    const judged = measures.models.map((model) => ({
      model, verdict: verdicts.get(model.name) ?? { level: 'good', words: '' },
    }));
    const ranks = new Map(judged.map((one) => [one.model.name, places.of(one.model.name, rankOf(one.model, one.verdict))]));
    judged.sort((one, other) => (ranks.get(one.model.name) ?? 0) - (ranks.get(other.model.name) ?? 0));
    keyed(table, judged, (one) => one.model.name, modelRows);
  };
}

/** Rows go up at once, and down only when they have been better for a while: who reads one is not moved away
 * from it again and again. */
class Places {
  /** @type {Map<string, {rank: number, num_better: number}>} */ #known = new Map();

  /** @param {string} name @param {number} rank */
  of(name, rank) {
    const known = this.#known.get(name) ?? { rank, num_better: 0 };
    known.num_better = rank > known.rank ? known.num_better + 1 : 0;
    if (rank < known.rank || known.num_better >= NUM_BETTER) known.rank = rank;
    this.#known.set(name, known);
    return known.rank;
  }
}

/** @param {Judged} first */
function modelRows(first) {
  const sign = el('span', { class: 'sign', 'aria-hidden': 'true' });
  const level = el('span', { class: 'hidden' });
  const words = el('span', { class: 'words' });
  const attainment = el('b');
  const asked = el('small');
  const spark = sparkline();
  const rate = el('span', { class: 'number' });
  const bar = latencyBar();
  const [p50, p99, objective] = [cell('p50'), cell('p99'), cell('objective', 'dim')];
  const [waiting, running, refused] = [cell('waiting'), cell('running'), cell('not served')];
  const header = rowHeader(sign, el('span', { class: 'name' }, first.model.name), level, words);
  const main = row('main', header, cell('in time', 'attainment', attainment, asked),
    cell('answered /s', 'rate', spark.node, rate), cell('', 'pictured', bar.node), p50, p99, objective,
    waiting, running, refused);
  const subs = first.model.document.generates ? [subRow('first token'), subRow('each token after')] : [];
  const node = rowGroup(main, ...subs.map((one) => one.node));
  node.id = `model-${first.model.name}`;
  return {
    node,
    /** @param {Judged} now */
    update({ model, verdict }) {
      setAttribute(node, 'class', `item ${verdict.level}`);
      setText(sign, SIGN[verdict.level]);
      setText(level, `, ${LEVEL_NAME[verdict.level]}: `);
      setText(words, verdict.words);
      setText(attainment, percent(model.attainment));
      const target = model.document.target_attainment;
      setText(asked, target === null ? '' : `of ${percent(target)}`);
      spark.update(model.rates);
      setText(rate, rateText(model.rate));
      bar.update(model.latency);
      showLatency(model.latency, p50, p99, objective);
      setText(waiting, count(model.document.waiting));
      setText(running, count(model.document.running));
      setText(refused, rateText(model.notServedRate));
      setAttribute(refused, 'class', model.notServedRate > 0 ? 'some' : 'dim');
      if (model.firstToken) subs[0]?.update(model.firstToken);
      if (model.eachToken) subs[1]?.update(model.eachToken);
    },
  };
}

/** @param {string} name */
function subRow(name) {
  const share = cell('in time');
  const bar = latencyBar();
  const [p50, p99, objective] = [cell('p50'), cell('p99'), cell('objective', 'dim')];
  const blank = () => cell('', 'blank');
  const node = row('sub', rowHeader(el('span', { class: 'name' }, name)), share, blank(),
    cell('', 'pictured', bar.node), p50, p99, objective, blank(), blank(), blank());
  return {
    node,
    /** @param {Latency} latency */
    update(latency) {
      setText(share, percent(latency.share));
      bar.update(latency);
      showLatency(latency, p50, p99, objective);
    },
  };
}

/** @param {Latency} latency @param {HTMLElement} p50 @param {HTMLElement} p99 @param {HTMLElement} objective */
function showLatency(latency, p50, p99, objective) {
  setText(p50, quantileText(latency.p50));
  setText(p99, quantileText(latency.p99));
  setAttribute(p99, 'class', isOver(latency) ? 'over' : null);
  setText(objective, duration(latency.objective));
}
