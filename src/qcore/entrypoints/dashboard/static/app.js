// Comfort for those who run scripts: every page works without.
"use strict";

const field = () => document.querySelector(".js-find");
const rows = () => [...document.querySelectorAll("table.rows tbody tr")];
const go = (selector) => document.querySelector(selector)?.click();

// --- what is wider than the screen shows where one is
for (const here of document.querySelectorAll("nav [aria-current]")) {
  const nav = here.closest("nav"), its = here.getBoundingClientRect(), all = nav.getBoundingClientRect();
  nav.scrollLeft += its.left + its.width / 2 - all.left - all.width / 2;
}

// --- rows by keyboard
let at = -1;
function step(by) {
  const all = rows();
  if (!all.length) return;
  all[at]?.classList.remove("here");
  at = Math.max(0, Math.min(all.length - 1, at + by));
  all[at].classList.add("here");
  all[at].querySelector("a")?.focus();
  all[at].scrollIntoView({ block: "nearest" });
}

// --- copying
async function copy(element) {
  const text = element.dataset.text ?? element.textContent.trim();
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return;
  }
  element.classList.add("copied");
  setTimeout(() => element.classList.remove("copied"), 1200);
}
function offerToCopy() {
  for (const each of document.querySelectorAll(".copy")) {
    each.tabIndex = 0;
    each.setAttribute("role", "button");
    each.title = "Copy";
  }
}
offerToCopy();
// a live page has new ones
document.addEventListener("qcore:shown", offerToCopy);
document.addEventListener("click", (event) => {
  const found = event.target.closest?.(".copy");
  if (found) copy(found);
});
document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.(".copy") || (event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  copy(event.target);
});

// --- keys; their list is the page "keys"
let before = "";
const KEYS = {
  "?": () => go('footer a[href$="keys"]'),
  "/": () => field()?.focus(),
  j: () => step(1),
  k: () => step(-1),
  x: () => rows()[at]?.querySelector('input[name="task"]')?.click(),
  n: () => go('a[rel="next"]'),
  p: () => go('a[rel="first"]'),
  r: () => location.reload(),
  c: () => { const command = document.querySelector("footer .copy"); if (command) copy(command); },
};
document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.key === "Escape" && target.matches("input, textarea, select")) return target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (target.matches("input, textarea, select, [contenteditable]")) return;
  if (before === "g") {
    before = "";
    const nav = [...document.querySelectorAll("header nav a")];
    const found = event.key === "o" ? nav[0] : nav.find((a) => a.textContent.trim().toLowerCase().startsWith(event.key));
    if (found) { event.preventDefault(); found.click(); }
    return;
  }
  before = event.key === "g" ? "g" : "";
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

// --- a store that is away: this page is loaded again when it answers, and not before
if (document.querySelector(".js-away")) {
  setInterval(async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    if (answer?.ok) location.reload();
  }, 5000);
}

// --- ticks
const tickAll = document.querySelector(".js-tick-all");
if (tickAll) {
  tickAll.hidden = false;
  tickAll.addEventListener("change", () => {
    for (const each of document.querySelectorAll('input[name="task"]')) each.checked = tickAll.checked;
  });
}

// --- the zone of this browser
const zone = document.querySelector(".js-zone");
if (zone) {
  zone.hidden = false;
  zone.addEventListener("click", () => {
    document.querySelector('input[name="zone"]').value = Intl.DateTimeFormat().resolvedOptions().timeZone;
  });
}
