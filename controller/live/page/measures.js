/** From a document and what counters grew by: rates, attainment, quantiles, utilisation. */

import { quantile } from './quantiles.js';

/** @typedef {import('./types.js').LiveDocument} LiveDocument */
/** @typedef {import('./types.js').Measures} Measures */
/** @typedef {import('./history.js').History} History */
/** @typedef {import('./history.js').Growth} Growth */

/** @param {LiveDocument} document @param {History} history @returns {Measures} */
export function measuresOf(document, history) {
  const growth = history.growth();
  const models = Object.keys(document.models).map((name) => modelMeasures(name, document, growth, history));
  const sum = (/** @type {(one: import('./types.js').ModelMeasures) => number} */ value) =>
    models.reduce((total, one) => total + value(one), 0);
  const numJudged = sum((one) => one.numJudged);
  return {
    seconds: growth.seconds,
    isSinceStart: growth.isSinceStart,
    models,
    groups: document.groups.map((group) => ({ document: group, utilisation: utilisation(group, growth) })),
    fleet: {
      rate: sum((one) => one.rate),
      notServedRate: sum((one) => one.notServedRate),
      attainment: numJudged ? sum((one) => (one.attainment ?? 0) * one.numJudged) / numJudged : null,
      rates: history.rates(''),
    },
  };
}

/** @param {string} name @param {LiveDocument} document @param {Growth} growth @param {History} history
 * @returns {import('./types.js').ModelMeasures} */
function modelMeasures(name, document, growth, history) {
  const model = document.models[name];
  const [answered = 0, served = 0] = growth.of(`answered ${name}`);
  const [met = 0, missed = 0] = growth.of(`judged ${name}`);
  /** @param {string} kind @param {number} share */
  const at = (kind, share) => quantile(share, document.bounds[kind] ?? [], growth.of(`${kind} ${name}`));
  /** @param {string} kind @param {string} objective @param {?number} asked */
  const latency = (kind, objective, asked) => {
    const [kept = 0, not = 0] = growth.of(`${objective} ${name}`);
    return {
      p50: at(kind, 0.5), p99: at(kind, 0.99), objective: asked,
      share: kept + not > 0 ? kept / (kept + not) : null,
    };
  };
  const asked = model.objectives;
  return {
    name,
    document: model,
    rate: answered / growth.seconds,
    notServedRate: Math.max(0, answered - served) / growth.seconds,
    numAnswered: answered,
    numJudged: met + missed,
    attainment: met + missed > 0 ? met / (met + missed) : null,
    latency: latency('latency_s', 'latency', asked.latency_s),
    firstToken: model.generates ? latency('ttft_s', 'ttft', asked.ttft_s) : null,
    eachToken: model.generates ? latency('tpot_s', 'tpot', asked.tpot_s) : null,
    ratio50: at('prediction_ratio', 0.5),
    ratio90: at('prediction_ratio', 0.9),
    rates: history.rates(name),
  };
}

/** @param {import('./types.js').GroupDocument} group @param {Growth} growth */
function utilisation(group, growth) {
  const busy = growth.of(`busy ${group.id}`);
  return Array.from({ length: group.pipeline }, (_, stage) =>
    Math.min(1, (busy[stage] ?? 0) / growth.seconds));
}
