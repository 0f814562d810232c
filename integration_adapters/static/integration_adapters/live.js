// Brings what is marked with data-live up to date while something of it goes on: the page is fetched again and only
// those parts are replaced, so that selections, open filters and the place on the page stay.
"use strict";
(() => {
  const EVERY = 5000;
  const parts = (root) => root.querySelectorAll("[data-live]");
  const goesOn = () => document.querySelector('[data-goes-on="yes"]') !== null;

  async function refresh() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
        if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch {
        // Signed out, or the server is away: what is shown stays until the next time.
      }
    }
    if (goesOn()) setTimeout(refresh, EVERY);
  }

  function replace(fresh) {
    const found = new Map(Array.from(parts(fresh), (part) => [part.dataset.live, part]));
    for (const part of parts(document)) {
      const now = found.get(part.dataset.live);
      if (now && now.outerHTML !== part.outerHTML) part.replaceWith(document.adoptNode(now));
    }
  }

  addEventListener("DOMContentLoaded", () => {
    if (goesOn()) setTimeout(refresh, EVERY);
  });
})();
