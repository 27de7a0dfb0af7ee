// Before the first paint: the theme that was chosen here last, if one was.
"use strict";

const THEMES = ["system", "light", "dark"];

function storedTheme() {
  try {
    const stored = localStorage.getItem("kedge-theme");
    return THEMES.includes(stored) ? stored : "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

function applyTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

applyTheme(storedTheme());
