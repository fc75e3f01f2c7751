// Refreshes a page every ten seconds, or at the interval it names. Replaces only parts whose text changed; keeps focus,
// open details and a selection that somebody is copying from.
"use strict";
(() => {
  const PATIENCE_MS = 20_000;
  const page = document.querySelector("[data-live]");
  if (!page) return;
  const everyS = Number(page.dataset.every ?? 10);
  const shown = new Map();
  let headline = null;
  let at = "";
  let timer = 0;

  function exchange(id, html) {
    const part = document.getElementById(`part-${id}`);
    if (!part || shown.get(id) === html) return;
    const selection = getSelection();
    if (!selection.isCollapsed && part.contains(selection.anchorNode)) return;
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const isSame = !shown.has(id) && fresh.innerHTML.trim() === part.innerHTML.trim();
    shown.set(id, html);
    if (isSame) return;
    const focused = part.contains(document.activeElement) ? nameOf(document.activeElement) : null;
    const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
    part.replaceChildren(fresh.content);
    for (const name of open) document.getElementById(name)?.setAttribute("open", "");
    if (focused) part.querySelector(focused)?.focus({ preventScroll: true });
  }

  function nameOf(element) {
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (element.tagName === "SUMMARY") return `#${CSS.escape(element.parentElement.id)} > summary`;
    return element.hasAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : null;
  }

  function say(text) {
    document.getElementById("stale").textContent = text;
    page.classList.toggle("old", text !== "");
  }

  async function refresh() {
    const answer = await fetch(page.dataset.live, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
    const data = await answer.json();
    if (data.shape !== page.dataset.shape) return location.reload();
    for (const [id, html] of Object.entries(data.parts)) exchange(id, html);
    charts.draw(document.getElementById("chart"), data.chart);
    at = data.at.slice(11, 19);
    document.getElementById("freshness").textContent = `As of ${at} UTC, refreshed every ${everyS} s.`;
    say("");
    if (headline !== null && headline !== data.headline) {
      document.getElementById("announcement").textContent = data.headline;
    }
    headline = data.headline;
    document.title = `${headline} · webhook_app`;
  }

  async function tick() {
    clearTimeout(timer);
    if (!document.hidden) {
      try {
        await refresh();
      } catch (fault) {
        say(`This page is ${at ? `from ${at} UTC` : "out of date"}: it cannot be refreshed (${fault.message}). Trying again.`);
      }
    }
    timer = setTimeout(tick, 1000 * everyS);
  }

  document.addEventListener("visibilitychange", () => document.hidden || tick());
  charts.load(page.dataset.plotly);
  tick();
})();
