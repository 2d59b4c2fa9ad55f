/* Says so when the console's server has died: its last figures must not look alive. Every page loads it once.

   It asks the health check without the session cookie, so that looking on keeps nobody signed in. */
(() => {
  "use strict";
  if (window.quarterdeckWatch) return;
  window.quarterdeckWatch = true;

  const ASK_EVERY_MS = 2000;
  const PATIENCE_MS = 4000;
  const MISSES = 2;
  const FROZEN_MS = 5000;
  const STUCK_MS = 30000;
  const firstSeen = new WeakMap();
  let answeredAt = Date.now();
  let misses = 0;
  let drawn = null;
  let drawnAt = Date.now();
  let visibleAt = Date.now();
  let zone = "UTC";

  async function ask() {
    try {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      await fetch("/api/v1/health", { cache: "no-store", credentials: "omit", signal });
      answeredAt = Date.now();
      misses = 0;
    } catch {
      misses += 1;
    }
    window.setTimeout(ask, ASK_EVERY_MS);
  }

  function clock(at) {
    const look = { hour12: false, hour: "2-digit", minute: "2-digit", second: "2-digit" };
    return `${new Date(at).toLocaleTimeString("en-GB", { ...look, timeZone: zone })} ${zone}`;
  }

  function span(ms) {
    const seconds = Math.max(0, ms / 1000);
    if (seconds < 10) return `${seconds.toFixed(1)} s`;
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  }

  function countOn(now) {
    for (const item of document.querySelectorAll(".qd-age[data-age]")) {
      if (!firstSeen.has(item)) firstSeen.set(item, now);
      const passed = now - firstSeen.get(item);
      if (passed > ASK_EVERY_MS) item.textContent = span(Number(item.dataset.age) * 1000 + passed);
    }
  }

  function words(now, bar) {
    if (misses >= MISSES) {
      return [
        `The console's server has not answered since ${clock(answeredAt)} (${span(now - answeredAt)}).`,
        "What you see is from then. Start it on its machine: make run, or python -m engine console; this page then " +
          "comes back by itself.",
        "Protective stops that were placed rest at the venue; a simulated market stands still meanwhile.",
      ];
    }
    if (bar && now - Math.max(drawnAt, visibleAt) > STUCK_MS) {
      return [
        `This page has shown nothing new since ${clock(drawnAt)} (${span(now - drawnAt)}).`,
        "The console's server answers: reload the page.",
      ];
    }
    return [];
  }

  function say(lines) {
    const known = document.getElementById("qd-lost");
    if (!lines.length) {
      known?.remove();
      return;
    }
    const bar = known ?? document.createElement("div");
    bar.id = "qd-lost";
    if (!known) {
      bar.setAttribute("role", "alert");
      document.body.append(bar);
    }
    lines.forEach((line, index) => {
      const place = bar.children[index] ?? bar.appendChild(document.createElement(index ? "span" : "strong"));
      if (place.textContent !== line) place.textContent = line;
    });
    while (bar.children.length > lines.length) bar.lastChild.remove();
  }

  function look() {
    const now = Date.now();
    const bar = document.querySelector(".qd-bar[data-drawn]");
    if (document.hidden) visibleAt = now;
    if (bar) {
      zone = bar.dataset.zone || zone;
      if (bar.dataset.drawn !== drawn) {
        drawn = bar.dataset.drawn;
        drawnAt = now;
      }
    }
    countOn(now);
    const frozen = misses >= MISSES || (bar && now - Math.max(drawnAt, visibleAt) > FROZEN_MS);
    document.documentElement.classList.toggle("qd-frozen", Boolean(frozen));
    say(words(now, bar));
  }

  document.addEventListener("visibilitychange", () => {
    visibleAt = Date.now();
  });
  window.setInterval(look, 500);
  ask();
})();
