/** What the plan promised and what each request was predicted to take, beside what came of it. */

import { el, keyed, setText } from './dom.js';
import { percent, ratioText } from './format.js';
import { attainmentDots, ratioBar } from './pictures.js';
import { cell, row, rowGroup, rowHeader } from './rows.js';

/** @typedef {import('./types.js').ModelMeasures} ModelMeasures */
/** least: the attainment at the left end of the drawing. @typedef {{model: ModelMeasures, least: number}} Shown */

/** @param {HTMLElement} table @returns {(view: import('./types.js').View) => void} */
export function predictedView(table) {
  const [attainment, ratio] = [...table.querySelectorAll('th.pictured')];
  attainment.append(scale());
  ratio.append(scale('×⅓', '×1', '×3'));
  const ends = attainment.querySelectorAll('.scale span');
  return ({ measures }) => {
    const least = leastShown(measures.models);
    setText(ends[0], percent(least));
    setText(ends[1], '');
    setText(ends[2], '100 %');
    const shown = measures.models.map((model) => ({ model, least }));
    keyed(table, shown, (one) => one.model.name, modelRow);
  };
}

/** A round share below all that is shown, so that what lies near 100 % can be told apart; what is less than
 * half lies at the end.
 * @param {ModelMeasures[]} models */
function leastShown(models) {
  const shares = models.flatMap((one) => [one.attainment, one.document.predicted_attainment, one.document.target_attainment]);
  const least = Math.min(1, ...shares.filter((one) => one !== null));
  return [0.9, 0.8].find((one) => least >= one) ?? 0.5;
}

/** @param {Shown} first */
function modelRow(first) {
  const [plan, observed] = [cell('plan'), cell('observed')];
  const [p50, p90] = [cell('time p50'), cell('time p90')];
  const [dots, bar] = [attainmentDots(), ratioBar()];
  const node = rowGroup(row('main', rowHeader(el('span', { class: 'name' }, first.model.name)), plan, observed,
    cell('', 'pictured', dots.node), p50, p90, cell('', 'pictured', bar.node)));
  node.className = 'item';
  return {
    node,
    /** @param {Shown} now */
    update({ model, least }) {
      const document = model.document;
      dots.update(document.predicted_attainment, model.attainment, document.target_attainment, least);
      setText(plan, percent(model.document.predicted_attainment));
      setText(observed, percent(model.attainment));
      setText(p50, ratioText(model.ratio50));
      setText(p90, ratioText(model.ratio90));
      bar.update(model.ratio50, model.ratio90);
    },
  };
}

/** @param {...string} ends */
function scale(...ends) {
  const [left = '', middle = '', right = ''] = ends;
  const spans = [left, middle, right].map((one) => el('span', {}, one));
  return el('span', { class: 'scale', 'aria-hidden': 'true' }, ...spans);
}
