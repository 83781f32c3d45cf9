/** What deserves to be read first: which models and groups are not as they should be, the worst on top. */

import { duration, percent, ratioText, wholePercent } from './format.js';

/** @typedef {import('./types.js').LiveDocument} LiveDocument */
/** @typedef {import('./types.js').Measures} Measures */
/** @typedef {import('./types.js').ModelMeasures} ModelMeasures */
/** @typedef {import('./types.js').Problem} Problem */
/** @typedef {import('./types.js').Verdict} Verdict */
/** @typedef {import('./types.js').Level} Level */

/** Of fewer, one more or less would be a finding. */
const MIN_JUDGED = 20;
/** So much less than the plan promised is worth a look where no objective is broken. */
const BELOW_PLAN = 0.03;
/** So much longer than predicted, at the median. */
const SLOWER = 1.25;
const NOT_SERVED = 0.01;
/** What the fleet says of a model that somebody took out of service. */
const UNLOADED = 'unloaded';

/** Whether its p99 is above its objective. How many were in time is counted, and p99 drawn from buckets: so
 * the count decides where there is one.
 * @param {import('./types.js').Latency} latency */
export function isOver({ p99, objective, share }) {
  if (share !== null) return share < 0.99;
  return Boolean(objective && p99 && p99.value > objective);
}

/** In order of badness; what nobody can ask is worse than what is late.
 * @param {ModelMeasures} model @param {Verdict} verdict */
export function rankOf(model, verdict) {
  return verdict.level === 'bad' && model.document.state !== 'READY' ? -1 : RANK[verdict.level];
}

/** @type {Record<Level, number>} */
const RANK = { bad: 0, warn: 1, good: 2, idle: 3 };
/** Never colour alone. @type {Record<Level, string>} */
export const SIGN = { bad: '✕', warn: '▲', good: '●', idle: '○' };
/** @type {Record<Level, string>} */
export const LEVEL_NAME = { bad: 'bad', warn: 'attention', good: 'good', idle: 'idle' };

/** @param {ModelMeasures} model @returns {Verdict} */
export function verdictOf(model) {
  const { document, attainment, numJudged } = model;
  if (document.state === 'LOADING' || document.state === 'UNLOADING') {
    return { level: 'warn', words: document.state.toLowerCase() };
  }
  if (document.state !== 'READY') return unservedVerdict(document);
  const target = document.target_attainment;
  const isJudged = attainment !== null && numJudged >= MIN_JUDGED;
  if (isJudged && target !== null && attainment < target) {
    return { level: 'bad', words: `below its objective of ${percent(target)}` };
  }
  const plan = document.predicted_attainment;
  if (isJudged && plan !== null && attainment < plan - BELOW_PLAN) {
    return { level: 'warn', words: `the plan promised ${percent(plan)}` };
  }
  if (model.rate > 0 && model.notServedRate > NOT_SERVED * model.rate && model.numAnswered >= MIN_JUDGED) {
    return { level: 'warn', words: `${wholePercent(model.notServedRate / model.rate)} not served` };
  }
  // How long an answer token by token gets is not known when it is predicted.
  const isPredictable = !document.generates && model.numAnswered >= MIN_JUDGED;
  if (isPredictable && model.ratio50 && model.ratio50.value > SLOWER) {
    return { level: 'warn', words: `slower than predicted, ${ratioText(model.ratio50)}` };
  }
  if (model.numAnswered === 0 && model.document.waiting + model.document.running === 0) {
    return { level: 'idle', words: 'no requests' };
  }
  return { level: 'good', words: 'as it should be' };
}

/** Of a model that nobody can ask, unless whoever asks has it loaded.
 * @param {import('./types.js').ModelDocument} document @returns {Verdict} */
function unservedVerdict(document) {
  const isAway = document.is_on_demand && document.groups.length === 0 && document.reason !== UNLOADED;
  if (isAway) return { level: 'idle', words: 'loaded when somebody asks for it' };
  return { level: 'bad', words: document.reason || 'not served' };
}

/**
 * Worst first: what the fleet itself says, then models that nobody can ask, then those below their objective.
 * @param {LiveDocument} document @param {Measures} measures @param {Map<string, Verdict>} verdicts
 * @returns {Problem[]}
 */
export function problemsOf(document, measures, verdicts) {
  /** @type {Problem[]} */
  const told = document.problems.map((words) => ({ level: 'bad', title: '', words: sentence(words), target: '' }));
  const models = measures.models.flatMap((model) => modelProblem(model, verdicts.get(model.name)));
  models.sort((one, other) => RANK[one.level] - RANK[other.level] || one.weight - other.weight);
  /** @type {Problem[]} */
  const drained = document.drained.map((words) => ({
    level: 'warn', title: '', words: `${words} is drained: nothing is placed there.`, target: '',
  }));
  return [...told, ...models, ...drained];
}

/** @param {ModelMeasures} model @param {Verdict} [verdict] @returns {(Problem & {weight: number})[]} */
function modelProblem(model, verdict) {
  if (!verdict || (verdict.level !== 'bad' && verdict.level !== 'warn')) return [];
  const attainment = model.attainment;
  const isServed = model.document.state === 'READY';
  const p99 = model.latency.p99;
  const late = isServed && attainment !== null
    ? `${percent(attainment)} in time` + (p99 && model.latency.objective
      ? `, p99 ${p99.isBeyond ? 'over ' : ''}${duration(p99.value)} of ${duration(model.latency.objective)}` : '')
    : '';
  const words = [isServed ? sentence(verdict.words) : `Not served: ${sentence(verdict.words, false)}`, late && `${late}.`];
  return [{
    level: verdict.level, title: model.name, words: words.filter(Boolean).join(' '),
    target: `model-${model.name}`, weight: isServed ? attainment ?? 1 : -1,
  }];
}

/** With a capital and a full stop. @param {string} words @param {boolean} [capital] */
function sentence(words, capital = true) {
  const first = capital ? words.charAt(0).toUpperCase() + words.slice(1) : words;
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** The one line that is read out when it changes: so it has no numbers that tick.
 * @param {LiveDocument} document @param {Problem[]} problems */
export function headlineOf(document, problems) {
  if (document.state === 'draining') return 'The fleet is draining: what was accepted is answered, nothing new is taken.';
  if (document.state === 'stopped') return 'The fleet has stopped.';
  if (document.state === 'loading') return 'The fleet is loading its models.';
  const num = problems.filter((one) => one.level === 'bad').length;
  const rest = problems.length - num;
  const also = rest ? `${rest} ${rest === 1 ? 'thing' : 'things'} to look at` : '';
  if (num) return `${num} ${num === 1 ? 'problem' : 'problems'}${also ? `, and ${also}` : ''}`;
  if (also) return `No problem, ${also}`;
  const models = Object.keys(document.models).length;
  return `All is well: ${models === 1 ? 'the model is' : `all ${models} models are`} as planned`;
}
