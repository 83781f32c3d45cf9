/** Cells and rows of tables that turn into cards on a phone. There, `display` takes the roles of a table away
 * from its elements: so they are said. */

import { el } from './dom.js';

/** @param {string} [name] of its column, shown on a phone. @param {string} [kind]
 * @param {...(Node | string)} children */
export function cell(name = '', kind = '', ...children) {
  const node = el('td', { role: 'cell', ...(kind && { class: kind }) }, ...children);
  if (name) node.dataset.name = name;
  return node;
}

/** @param {...Node} children */
export function rowHeader(...children) {
  return el('th', { scope: 'row', role: 'rowheader', class: 'left' }, ...children);
}

/** @param {string} kind @param {...Node} children */
export function row(kind, ...children) {
  return el('tr', { role: 'row', class: kind }, ...children);
}

/** @param {...Node} rows */
export function rowGroup(...rows) {
  return el('tbody', { role: 'rowgroup' }, ...rows);
}
