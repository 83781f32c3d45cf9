/** The placement map: hosts, their devices, which group holds them, how full and how busy each is. */

import { el, keyed, setAttribute, setProperty, setText } from './dom.js';
import { bytesText, wholePercent } from './format.js';

/** @typedef {import('./types.js').View} View */
/** @typedef {import('./types.js').DeviceDocument} DeviceDocument */
/** @typedef {import('./types.js').GroupMeasures} GroupMeasures */
/** @typedef {{name: string, devices: DeviceDocument[], groups: Map<string, GroupMeasures>}} Host */
/** Devices of a host that stand side by side in one group. @typedef {{key: string, group: ?GroupMeasures,
 * devices: DeviceDocument[]}} Stretch */

/** @param {HTMLElement} list @returns {(view: View) => void} */
export function mapView(list) {
  return ({ document, measures }) => {
    const groups = new Map(measures.groups.map((one) => [one.document.id, one]));
    const hosts = document.nodes.map((host) => ({ ...host, groups }));
    keyed(list, hosts, (one) => one.name, hostPanel);
  };
}

/** @param {Host} first */
function hostPanel(first) {
  const told = el('span', { class: 'dim' });
  const body = el('ul', { class: 'stretches' });
  const node = el('li', { class: 'host' }, el('h3', {}, first.name, ' ', told), body);
  return {
    node,
    /** @param {Host} host */
    update({ devices, groups }) {
      const free = devices.filter((one) => one.group === null).length;
      setText(told, `${devices.length} × ${devices[0]?.type ?? ''}${free ? `, ${free} free` : ''}`);
      keyed(body, stretchesOf(devices, groups), (one) => one.key, stretchBox);
    },
  };
}

/** @param {DeviceDocument[]} devices @param {Map<string, GroupMeasures>} groups @returns {Stretch[]} */
function stretchesOf(devices, groups) {
  /** @type {Stretch[]} */
  const found = [];
  for (const device of devices) {
    const last = found[found.length - 1];
    if (last && (last.group?.document.id ?? null) === device.group) last.devices.push(device);
    else {
      const group = device.group === null ? null : groups.get(device.group) ?? null;
      found.push({ key: `${device.group ?? 'free'} ${device.id}`, group, devices: [device] });
    }
  }
  return found;
}

/** @param {Stretch} _first */
function stretchBox(_first) {
  const name = el('b');
  const state = el('span', { class: 'state-words' });
  const models = el('span', { class: 'holds' });
  const tiles = el('ul', { class: 'tiles' });
  const node = el('li', { class: 'stretch' }, el('p', {}, name, ' ', state, ' ', models), tiles);
  return {
    node,
    /** @param {Stretch} stretch */
    update({ group, devices }) {
      setProperty(node, '--devices', String(devices.length));
      const told = group?.document;
      const isOpen = told?.state === 'open';
      setAttribute(node, 'class', `stretch ${told ? (isOpen ? '' : 'amiss') : 'free'}`.trim());
      setText(name, told?.id ?? 'free');
      setText(state, told && !isOpen ? `✕ ${told.state}` : '');
      setText(models, told ? told.models.join(', ') || 'no model' : '');
      keyed(tiles, devices.map((device) => ({ device, group })), (one) => one.device.id, tile);
    },
  };
}

/** @param {{device: DeviceDocument, group: ?GroupMeasures}} first */
function tile(first) {
  const index = first.device.id.split(':').pop() ?? '';
  const stage = el('span', { class: 'dim' });
  const memory = gauge('memory', 'mem');
  const busy = gauge('busy', 'busy');
  const node = el('li', { class: 'tile' }, el('p', {}, el('b', {}, index), ' ', stage), memory.node, busy.node);
  return {
    node,
    /** @param {{device: DeviceDocument, group: ?GroupMeasures}} now */
    update({ device, group }) {
      const isHeld = group !== null && device.stage !== null;
      setText(stage, isHeld ? `stage ${device.stage}` : '');
      setAttribute(memory.node, 'hidden', isHeld ? null : '');
      setAttribute(busy.node, 'hidden', isHeld ? null : '');
      const used = device.used_bytes ?? device.planned_bytes;
      const all = device.used_bytes === undefined ? device.usable_bytes : device.total_bytes ?? device.usable_bytes;
      memory.update(used === null ? null : used / all);
      const of = device.used_bytes === undefined ? 'by the profiles of its models' : 'as its worker says';
      setAttribute(node, 'title', used === null ? null : `${device.id}: ${bytesText(used)} of ${bytesText(all)}, ${of}`);
      busy.update(isHeld ? group.utilisation[device.stage ?? 0] ?? 0 : null);
    },
  };
}

/** A bar with its share in words. @param {string} kind @param {string} name */
function gauge(kind, name) {
  const words = el('span', { class: 'number' });
  const bar = el('i', { 'aria-hidden': 'true' });
  const node = el('div', { class: `gauge ${kind}` }, el('span', { class: 'dim' }, name), words, bar);
  return {
    node,
    /** @param {?number} share */
    update(share) {
      setText(words, share === null ? '–' : wholePercent(share));
      setProperty(bar, '--share', String(Math.min(1, share ?? 0)));
      setAttribute(node, 'class', `gauge ${kind}${share !== null && share >= 0.9 ? ' full' : ''}`);
    },
  };
}
