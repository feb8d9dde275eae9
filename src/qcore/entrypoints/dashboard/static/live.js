// Live pages: told of changes, they are asked for again, and what differs is put in place. Every
// page works without, by being reloaded.
"use strict";

(() => {
  const { live, stream } = document.body.dataset;
  const button = document.querySelector(".js-live");
  if (live === undefined || !button) return;

  const LEAST = 2500; // milliseconds between two loads, and ten times what a load has taken: a store
  // that is busy gives five overviews less than a hundredth of its time
  const POLL = 1000 * Number(live) || 5000; // where there is no stream
  const STALE = 30000; // after which "2 min ago" is no longer so, though nothing has changed
  const AGAIN = 5000; // until a stream that was refused is asked for again
  const PAUSED = "qcore.paused";
  let source = null, timer = null, again = null, isLoading = false, isDue = false, isAway = false, isOver = false;

  const kept = (() => { try { return window.localStorage; } catch { return null; } })();
  const isPaused = () => kept?.getItem(PAUSED) === "1";

  // --- what differs is changed in place: focus, selection, ticks and what is typed stay
  const KEPT = new Set(["open", "tabindex", "role", "title"]);
  const key = (node) =>
    node.nodeType !== 1 ? null
      : node.id || (node.nodeName === "TR" ? node.querySelector("a[href]")?.getAttribute("href") ?? null : null);

  function morph(old, made) {
    if (old.nodeType !== made.nodeType || old.nodeName !== made.nodeName) return old.replaceWith(made);
    if (old.nodeType !== 1) {
      if (old.data !== made.data) old.data = made.data;
      return;
    }
    if (old.isEqualNode(made) || old.matches("input:not([type=hidden]), textarea, select")) return;
    for (const { name, value } of [...made.attributes])
      if (old.getAttribute(name) !== value && name !== "open") old.setAttribute(name, value);
    for (const { name } of [...old.attributes])
      if (!made.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
    children(old, made);
  }

  function children(old, made) {
    const known = new Map();
    for (const each of old.childNodes) if (key(each)) known.set(key(each), each);
    let at = old.firstChild;
    for (const each of [...made.childNodes]) {
      const same = key(each) && known.get(key(each));
      if (same) {
        if (same === at) at = at.nextSibling; else old.insertBefore(same, at);
        morph(same, each);
      } else if (at && !key(at) && !key(each)) {
        const next = at.nextSibling;
        morph(at, each);
        at = next;
      } else old.insertBefore(each, at);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  // --- a load
  async function load() {
    timer = null;
    if (isLoading || isPaused() || document.hidden) { isDue = true; return; }
    isLoading = true;
    isDue = false;
    const began = performance.now();
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" } });
      if (response.status === 401 || response.status === 403) return location.reload();
      if (!response.ok) throw new Error(response.status);
      show(new DOMParser().parseFromString(await response.text(), "text/html"));
      isAway = false;
    } catch {
      isAway = true;
    }
    isLoading = false;
    if (isOver) return;
    tell();
    const pause = Math.max(LEAST, 10 * (performance.now() - began));
    if (isDue) timer = setTimeout(load, pause);
    else timer = setTimeout(() => { timer = null; if (isDue) load(); else if (stream === undefined) later(POLL); }, pause);
  }
  const later = (pause) => { isDue = true; if (timer === null && !isLoading) timer = setTimeout(load, pause); };

  function show(made) {
    const main = document.getElementById("main"), fresh = made.getElementById("main");
    if (!fresh || isPaused()) return;
    // what was said of a move stays until the page is left
    const said = main.querySelector(":scope > .said");
    // where the layout puts it, behind a line break: one node too few or too many before the others
    // would have each of them replaced, and what was unfolded closed
    if (said && !fresh.querySelector(":scope > .said")) fresh.firstChild.after(said.cloneNode(true), "\n");
    morph(main, fresh);
    document.title = made.title;
    if (made.body.dataset.live === undefined) { isOver = true; close(); button.hidden = true; }
    document.dispatchEvent(new Event("qcore:shown"));
  }

  // --- one stream, while the page is seen
  function open() {
    if (source || isOver || isPaused() || document.hidden) return;
    if (stream === undefined) return later(POLL);
    source = new EventSource(stream);
    source.addEventListener("opened", () => { isAway = false; tell(); });
    source.addEventListener("changed", () => later(0));
    source.addEventListener("away", () => { isAway = true; tell(); });
    source.addEventListener("error", () => {
      isAway = true;
      tell();
      // after an answer that is no stream a browser does not ask again
      if (source?.readyState === EventSource.CLOSED) { close(); again = setTimeout(open, AGAIN); }
    });
  }
  function close() {
    source?.close();
    source = null;
    clearTimeout(again);
    clearTimeout(timer);
    timer = null;
  }

  function tell() {
    const state = isPaused() ? "paused" : isAway ? "away" : "live";
    if (button.dataset.state === state) return;
    button.dataset.state = state;
    button.setAttribute("aria-pressed", String(state === "paused"));
    button.querySelector("span:last-child").textContent = { live: "Live", paused: "Paused", away: "Away" }[state];
    button.title = { live: "Pause: this page stays as it is", paused: "Go on", away: "The server does not answer; this is how it was" }[state];
  }

  button.addEventListener("click", () => {
    const next = isPaused() ? "0" : "1";
    try { kept?.setItem(PAUSED, next); } catch { return; }
    close();
    open();
    tell();
  });
  // the pause of another tab holds here, too
  window.addEventListener("storage", (event) => { if (event.key === PAUSED) { close(); open(); tell(); } });
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  setInterval(() => { if (source) later(0); }, STALE);
  button.hidden = false;
  tell();
  open();
})();
