/** The live page: asks the fleet every two seconds, and shows what became of it. */

import { decisionsView, refusedView } from './decisions_view.js';
import { byId, setAttribute, setText } from './dom.js';
import { span } from './format.js';
import { Freshness } from './freshness.js';
import { groupsView } from './groups_view.js';
import { figuresView, problemsView, titleView } from './head_view.js';
import { History } from './history.js';
import { problemsOf, verdictOf } from './judge.js';
import { mapView } from './map_view.js';
import { measuresOf } from './measures.js';
import { modelsView } from './models_view.js';
import { Poll } from './poll.js';
import { predictedView } from './predicted_view.js';
import { themeSwitch } from './theme.js';
import { Door } from './token.js';

/** @typedef {import('./types.js').LiveDocument} LiveDocument */
/** @typedef {import('./types.js').View} View */

const SCHEMA_VERSION = 1;

function begin() {
  const views = [
    titleView({ fleet: byId('fleet'), state: byId('state'), about: byId('about') }),
    problemsView(byId('headline'), byId('problems')),
    figuresView(byId('figures')),
    modelsView(byId('models')),
    mapView(byId('map')),
    groupsView(byId('groups')),
    predictedView(byId('predicted')),
    refusedView(byId('refused'), byId('refused-of')),
    decisionsView(byId('decisions'), byId('more')),
    spanView,
  ];
  themeSwitch(byId('theme'));
  const history = new History();
  const fresh = new Freshness();
  const door = new Door(() => poll.now());
  const poll = new Poll(new URL('document', import.meta.url), {
    heard(document) {
      if (document.schema_version !== SCHEMA_VERSION) {
        // Another version answers now, and has a page of its own.
        fresh.silent('it is another version by now: load this page again', 30000);
        return;
      }
      door.close();
      history.add(document);
      const view = viewOf(document, history);
      for (const show of views) show(view);
      fresh.heard();
      setAttribute(byId('content'), 'aria-busy', null);
    },
    refused: (status) => door.ask(status),
    silent: (why, again_ms) => {
      fresh.silent(why, again_ms);
      if (byId('content').hasAttribute('aria-busy')) setText(byId('headline'), 'The fleet has not answered yet.');
    },
  });
  poll.now();
}

/** @param {LiveDocument} document @param {History} history @returns {View} */
function viewOf(document, history) {
  const measures = measuresOf(document, history);
  const verdicts = new Map(measures.models.map((model) => [model.name, verdictOf(model)]));
  return { document, measures, verdicts, problems: problemsOf(document, measures, verdicts) };
}

/** What time the numbers are of. @param {View} view */
function spanView({ measures }) {
  const words = measures.isSinceStart ? 'since the start' : `last ${span(measures.seconds)}`;
  for (const place of document.querySelectorAll('.span')) setText(place, words);
}

begin();
