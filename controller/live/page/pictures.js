/** Small drawings inside tables. What they show stands in words or numbers beside them, so they are hidden. */

import { setAttribute, svg } from './dom.js';
import { isOver } from './judge.js';

const WIDTH = 100;

/** A line of values, its end marked. @returns {{node: SVGElement, update: (values: number[]) => void}} */
export function sparkline() {
  const area = svg('path', { class: 'spark-area' });
  const line = svg('path', { class: 'spark-line' });
  const node = picture('spark', 24, area, line);
  return {
    node,
    update(values) {
      const points = values.length > 1 ? values : [values[0] ?? 0, values[0] ?? 0];
      const top = Math.max(...points) || 1;
      const step = WIDTH / (points.length - 1);
      const at = points.map((value, index) => `${(index * step).toFixed(1)},${(22 - (20 * value) / top).toFixed(1)}`);
      setAttribute(line, 'd', `M${at.join('L')}`);
      setAttribute(area, 'd', `M0,24L${at.join('L')}L${WIDTH},24Z`);
    },
  };
}

/** p50 and p99 on a line that ends a quarter beyond the objective. */
export function latencyBar() {
  const to99 = svg('rect', { class: 'to-p99', y: '3', height: '8', rx: '1.5' });
  const to50 = svg('rect', { class: 'to-p50', y: '3', height: '8', rx: '1.5' });
  const limit = svg('path', { class: 'limit' });
  const node = picture('latency', 14, svg('path', { class: 'ground', d: `M0,7H${WIDTH}` }), to99, to50, limit);
  return {
    node,
    /** @param {import('./types.js').Latency} latency */
    update(latency) {
      const { p50, p99, objective } = latency;
      const end = objective ? objective * 1.25 : (p99?.value ?? 1) * 1.1;
      const x = (/** @type {?import('./types.js').Quantile} */ one) =>
        one ? (one.isBeyond ? WIDTH : Math.min(WIDTH, (WIDTH * one.value) / end)) : 0;
      setAttribute(to50, 'width', x(p50).toFixed(1));
      setAttribute(to99, 'width', x(p99).toFixed(1));
      setAttribute(limit, 'd', objective ? `M${WIDTH / 1.25},0V14` : 'M0,0');
      setAttribute(node, 'class', isOver(latency) ? 'picture latency over' : 'picture latency');
    },
  };
}

/** Attainment from `least` to 1: what the plan promised (ring) and what is (dot). */
export function attainmentDots() {
  const link = svg('path', { class: 'link' });
  const target = svg('path', { class: 'limit' });
  const [ring, hole, observed] = [svg('path', { class: 'ring' }), svg('path', { class: 'hole' }), svg('path', { class: 'dot' })];
  const node = picture('dots', 14, svg('path', { class: 'ground', d: `M0,7H${WIDTH}` }), target, link, ring, hole, observed);
  return {
    node,
    /** @param {?number} plan @param {?number} now @param {?number} asked @param {number} least */
    update(plan, now, asked, least) {
      const x = (/** @type {number} */ share) => 4 + (WIDTH - 8) * Math.max(0, (share - least) / (1 - least));
      place(ring, plan === null ? null : x(plan));
      place(hole, plan === null ? null : x(plan));
      place(observed, now === null ? null : x(now));
      setAttribute(target, 'd', asked === null ? 'M0,0' : `M${x(asked).toFixed(1)},0V14`);
      setAttribute(link, 'd', plan === null || now === null ? 'M0,0' : `M${x(plan).toFixed(1)},7H${x(now).toFixed(1)}`);
    },
  };
}

/** Observed over predicted time from a third to three times, by its logarithm; 1 is in the middle. */
export function ratioBar() {
  const range = svg('path', { class: 'range' });
  const middle = svg('path', { class: 'dot' });
  const one = svg('path', { class: 'limit', d: `M${WIDTH / 2},0V14` });
  const node = picture('ratio', 14, svg('path', { class: 'ground', d: `M0,7H${WIDTH}` }), one, range, middle);
  return {
    node,
    /** @param {?import('./types.js').Quantile} p50 @param {?import('./types.js').Quantile} p90 */
    update(p50, p90) {
      const x = (/** @type {number} */ value) => {
        const share = Math.log(Math.max(value, 1e-3)) / Math.log(3);
        return 4 + (WIDTH - 8) * Math.min(1, Math.max(0, 0.5 + share / 2));
      };
      place(middle, p50 ? x(p50.value) : null);
      setAttribute(range, 'd', p50 && p90 ? `M${x(p50.value).toFixed(1)},7H${x(p90.value).toFixed(1)}` : 'M0,0');
    },
  };
}

/** A line without length, with round ends: it stays round however wide the picture is drawn.
 * @param {SVGElement} dot @param {?number} x */
function place(dot, x) {
  setAttribute(dot, 'd', x === null ? '' : `M${x.toFixed(1)},7h.01`);
}

/** @param {string} kind @param {number} height @param {...SVGElement} parts */
function picture(kind, height, ...parts) {
  const view = `0 0 ${WIDTH} ${height}`;
  return svg('svg', { class: `picture ${kind}`, viewBox: view, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, ...parts);
}
