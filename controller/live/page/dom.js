/** The few things that are done with elements. Nothing is ever made from markup in a string. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return /** @type {HTMLElement} */ (filled(document.createElement(tag), attributes, children));
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return /** @type {SVGElement} */ (filled(document.createElementNS(SVG, tag), attributes, children));
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Only a text that has changed is written, so that nothing is read out or laid out again for nothing.
 * @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Element} node @param {string} name @param {?string} value  null: without it. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** A length or share that the style sheet draws with. @param {HTMLElement} node @param {string} name
 * @param {string} value */
export function setProperty(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

/**
 * Children of `parent` for items, each made once and then brought up to date: what has the focus keeps it.
 * Other children stay before them.
 *
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => {node: Element, update: (item: T) => void}} make
 */
export function keyed(parent, items, keyOf, make) {
  const before = KNOWN.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    const key = keyOf(item);
    now.set(key, before.get(key) ?? make(item));
  }
  for (const [key, one] of before) if (!now.has(key)) one.node.remove();
  let place = null;
  for (const item of [...items].reverse()) {
    const one = now.get(keyOf(item));
    one.update(item);
    if (one.node.parentNode !== parent || one.node.nextSibling !== place) parent.insertBefore(one.node, place);
    place = one.node;
  }
  KNOWN.set(parent, now);
}

/** @type {WeakMap<Element, Map<string, any>>} */
const KNOWN = new WeakMap();

/** @param {Element} node @param {Record<string, string>} attributes @param {(Node | string)[]} children */
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
