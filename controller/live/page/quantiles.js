/** Quantiles from the buckets of a histogram, as Prometheus's histogram_quantile has them. */

/** @typedef {import('./types.js').Quantile} Quantile */

/**
 * Within a bucket values are taken to be spread evenly, from 0 in the first.
 *
 * @param {number} share  0.5 for the median.
 * @param {number[]} bounds  Finite upper bounds, ascending.
 * @param {number[]} counts  Cumulative, one more than bounds: the last is of all.
 * @returns {?Quantile} null where nothing was counted.
 */
export function quantile(share, bounds, counts) {
  const total = counts[bounds.length];
  if (!(total > 0)) return null;
  const rank = share * total;
  const index = counts.findIndex((count) => count >= rank);
  if (index < 0 || index >= bounds.length) return { value: bounds[bounds.length - 1], isBeyond: true };
  const lower = index > 0 ? bounds[index - 1] : 0;
  const before = index > 0 ? counts[index - 1] : 0;
  const inside = counts[index] - before;
  const part = inside > 0 ? (rank - before) / inside : 1;
  return { value: lower + (bounds[index] - lower) * part, isBeyond: false };
}
