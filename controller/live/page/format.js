/** Numbers as people read them: three digits, the unit after a narrow space, always as wide. */

const NARROW = '\u202f';
export const NONE = '–';

/** @param {?import('./types.js').Quantile} quantile */
export function quantileText(quantile) {
  if (!quantile) return NONE;
  return (quantile.isBeyond ? '> ' : '') + duration(quantile.value);
}

/** @param {?number | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 0.9995) return `${digits(seconds * 1000)}${NARROW}ms`;
  return `${digits(seconds)}${NARROW}s`;
}

/** @param {?number} share */
export function percent(share) {
  if (share === null) return NONE;
  const value = share * 100;
  // 99.96 must not be read as all of it.
  const shown = value >= 99 && value < 100 ? Math.min(99.99, value).toFixed(2) : value.toFixed(1);
  return `${value === 100 ? '100' : shown}${NARROW}%`;
}

/** Without decimals. @param {number} share */
export function wholePercent(share) {
  return `${Math.round(share * 100)}${NARROW}%`;
}

/** Per second. @param {number} rate */
export function rateText(rate) {
  if (rate > 0 && rate < 0.01) return '< 0.01';
  return rate < 10 ? rate.toFixed(2) : rate < 100 ? rate.toFixed(1) : Math.round(rate).toLocaleString('en');
}

/** @param {?import('./types.js').Quantile} ratio */
export function ratioText(ratio) {
  return ratio ? `${ratio.isBeyond ? '> ' : ''}×${ratio.value.toFixed(2)}` : NONE;
}

/** @param {number} value */
export function count(value) {
  return Math.round(value).toLocaleString('en');
}

/** @param {number} bytes */
export function bytesText(bytes) {
  for (const [size, name] of /** @type {[number, string][]} */ ([[2 ** 30, 'GiB'], [2 ** 20, 'MiB']])) {
    if (bytes >= size) return `${digits(bytes / size)}${NARROW}${name}`;
  }
  return `${digits(bytes / 1024)}${NARROW}KiB`;
}

/** How long: 45 s, 12 min, 3 h 20 min, 4 d 2 h. @param {number} seconds */
export function span(seconds) {
  const whole = Math.floor(seconds);
  const [minutes, hours, days] = [Math.floor(whole / 60), Math.floor(whole / 3600), Math.floor(whole / 86400)];
  if (whole < 60) return `${whole}${NARROW}s`;
  if (minutes < 60) return `${minutes}${NARROW}min`;
  if (hours < 24) return `${hours}${NARROW}h ${minutes % 60}${NARROW}min`;
  return `${days}${NARROW}d ${hours % 24}${NARROW}h`;
}

/** The reader's own time of day; with the day where it is another. @param {number} unix_s
 * @param {number} now_unix_s */
export function clock(unix_s, now_unix_s) {
  const at = new Date(unix_s * 1000);
  const time = at.toLocaleTimeString('en-GB');
  const isToday = at.toDateString() === new Date(now_unix_s * 1000).toDateString();
  return isToday ? time : `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time}`;
}

/** Three digits. @param {number} value */
function digits(value) {
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}
