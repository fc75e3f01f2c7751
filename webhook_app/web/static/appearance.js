// Changes the colours without reloading the page. The server reads the same cookie.
"use strict";
(() => {
  const form = document.getElementById("theme");
  const root = document.documentElement;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = event.submitter.value;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `webhook_app_theme=${chosen}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    if (chosen === "auto") delete root.dataset.theme;
    else root.dataset.theme = chosen;
    document.querySelector("meta[name=color-scheme]").content = chosen === "auto" ? "light dark" : chosen;
    for (const button of form.elements.theme) button.setAttribute("aria-pressed", button.value === chosen);
    dispatchEvent(new Event("themechange"));
  });
})();
