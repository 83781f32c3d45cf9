"""What a page looks like, measured in it: what is wider than its place, what is too pale, what moves."""

from __future__ import annotations

from typing import Any

from tests.chromium import Tab

_CLIPPED = """
(() => {
  const found = [];
  for (const one of document.body.querySelectorAll('*:not(svg *)')) {
    const look = getComputedStyle(one), scrolls = ['auto', 'scroll'].includes(look.overflowX);
    // On a phone the heads of tables are for screen readers only.
    const head = one.closest('thead'), isUnseen = head && getComputedStyle(head).position === 'absolute';
    const isAway = one.closest('.hidden, .skip') || isUnseen || !one.clientWidth;
    if (isAway || scrolls || look.display.startsWith('inline')) continue;
    const words = one.textContent.trim().slice(0, 40);
    const name = `${one.tagName}.${one.getAttribute('class') || ''} ${words}`;
    const wide = one.scrollWidth, room = one.clientWidth;
    // A table counts its own border.
    if (wide > room + (one.tagName === 'TABLE' ? 2 : 1)) found.push(`${name}: ${wide} in ${room}`);
  }
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) found.push(`the page: ${wide} in ${innerWidth}`);
  return found;
})()
"""
# WCAG 2.2, 1.4.3, with its formula of relative luminance.
_PALE = """
(() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map(v => linear(v / 255));
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const ground = one => {
    for (let at = one; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const one of document.body.querySelectorAll('*:not(svg *, .hidden, .skip)')) {
    const says = [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!says || !one.offsetParent) continue;
    const look = getComputedStyle(one), size = parseFloat(look.fontSize);
    const [a, b] = [light(channels(look.color)), light(ground(one))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05), isLarge = size >= 24 || (size >= 18.66 && look.fontWeight >= 700);
    const words = `${one.className} ${one.textContent.trim().slice(0, 30)}`;
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`${words}: ${ratio}`);
  }
  return found;
})()
"""
_SMALL_TARGETS = """
[...document.querySelectorAll('button, input, nav a')].filter(one => one.offsetParent).flatMap(one => {
  const { width, height } = one.getBoundingClientRect();
  return width < 24 || height < 24 ? [`${one.textContent}: ${width} x ${height}`] : [];
})
"""
WATCH_SHIFTS = """
window.shifts = [], window.since_ms = 0;
// Counted from here: what was laid out before is drawn first, and told of late.
window.settled = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
  shifts.length = 0, since_ms = performance.now(), done();
})));
new PerformanceObserver(list => {
  const place = box => `${box.top} + ${box.height}`;
  const late = list.getEntries().filter(one => one.startTime > since_ms);
  for (const entry of late) for (const one of entry.sources) {
    const name = one.node?.id || one.node?.className || one.node?.textContent;
    shifts.push(`${innerWidth}: ${name}: ${place(one.previousRect)} -> ${place(one.currentRect)}`);
  }
}).observe({ type: 'layout-shift', buffered: true });
"""


def clipped(tab: Tab) -> list[str]:
    """Elements that are wider than their place."""
    return tab.value(_CLIPPED)


def pale(tab: Tab) -> list[str]:
    """Texts with less contrast than WCAG's level AA asks for."""
    return tab.value(_PALE)


def small_targets(tab: Tab) -> list[str]:
    """What is to be pressed and is less than 24 pixels (WCAG 2.2, 2.5.8)."""
    return tab.value(_SMALL_TARGETS)


def roles(tab: Tab) -> list[tuple[str, str]]:
    """Role and name of all that a screen reader is told of."""
    nodes: list[dict[str, Any]] = tab.call("Accessibility.getFullAXTree")["nodes"]
    return [
        (one["role"]["value"], one.get("name", {}).get("value", ""))
        for one in nodes
        if not one.get("ignored")
    ]
