// Runs before the first paint. Without a choice the page follows the system by CSS alone.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.bsTheme = theme;
  } catch {
    // Storage is blocked: the system's theme it is.
  }
})();
