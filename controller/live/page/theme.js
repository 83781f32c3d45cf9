/** The switch between the system's colours, light and dark. */

import { byId, setAttribute, setText } from './dom.js';

const KEY = 'statmux-theme';
const NEXT = { system: 'light', light: 'dark', dark: 'system' };
const SIGNS = { system: '◐', light: '○', dark: '●' };

/** @param {HTMLElement} button */
export function themeSwitch(button) {
  const shown = () => /** @type {keyof typeof NEXT} */ (document.documentElement.dataset.theme ?? 'system');
  const show = () => {
    setText(byId('theme-sign'), SIGNS[shown()]);
    setText(byId('theme-name'), shown());
    setAttribute(button, 'aria-label', `Theme: ${shown()}`);
  };
  show();
  button.addEventListener('click', () => {
    const chosen = NEXT[shown()];
    if (chosen === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    show();
    remember(chosen);
  });
}

/** @param {string} chosen */
function remember(chosen) {
  try {
    if (chosen === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
  } catch {
    // Then it holds until the page is closed.
  }
}
