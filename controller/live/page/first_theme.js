// Before anything is drawn: who has chosen dark is not shown a bright page first.
(() => {
  try {
    const chosen = localStorage.getItem('statmux-theme');
    if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; the system's choice holds.
  }
})();
