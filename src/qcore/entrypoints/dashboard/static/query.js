// The query box completes what is typed, by what the server says the visitor may see. Without
// scripts it offers qualifiers alone. The keys are those of the combobox pattern of ARIA.
"use strict";

(() => {
  const input = document.querySelector(".js-query");
  if (!input) return;
  const PAUSE = 150; // milliseconds that nobody types
  const list = document.createElement("ul");
  let before = "", options = [], at = -1, timer = null, asked = 0;

  list.id = "completions";
  list.className = "completions";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Completions");
  // beside the page: a live page puts its own in place of what it does not know
  document.body.append(list);
  input.removeAttribute("list");
  input.type = "text";
  input.inputMode = "search";
  const SAYS = { role: "combobox", "aria-autocomplete": "list", "aria-haspopup": "listbox", "aria-controls": list.id, "aria-expanded": "false" };
  for (const [name, value] of Object.entries(SAYS)) input.setAttribute(name, value);

  async function ask() {
    const number = ++asked;
    const typed = input.value.slice(0, input.selectionStart);
    try {
      const response = await fetch(input.dataset.completions + encodeURIComponent(typed));
      if (!response.ok) return close();
      const told = await response.json();
      if (number !== asked || document.activeElement !== input) return;
      ({ before, options } = told);
      show();
    } catch {
      close();
    }
  }

  function show() {
    if (!options.length) return close();
    list.replaceChildren(...options.map((text, index) => {
      const option = document.createElement("li");
      option.id = `completion-${index}`;
      option.setAttribute("role", "option");
      option.textContent = text;
      option.addEventListener("mousedown", (event) => { event.preventDefault(); take(index); });
      return option;
    }));
    const place = input.getBoundingClientRect();
    list.style.left = `${place.left + window.scrollX}px`;
    list.style.top = `${place.bottom + window.scrollY}px`;
    list.style.minWidth = `${Math.min(place.width, 320)}px`;
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(-1);
  }

  function close() {
    asked += 1; // what was asked for is not shown any more
    clearTimeout(timer);
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  function mark(index) {
    list.children[at]?.setAttribute("aria-selected", "false");
    at = index;
    const option = list.children[at];
    if (!option) return input.removeAttribute("aria-activedescendant");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  }

  function take(index) {
    const start = before + options[index], rest = input.value.slice(input.selectionStart);
    input.value = start + rest;
    input.setSelectionRange(start.length, start.length);
    close();
    // a qualifier is followed by its values
    if (/[:.]$/.test(start)) ask();
  }

  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, PAUSE); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const isOpen = !list.hidden, last = options.length - 1;
    if (event.key === "ArrowDown" && !isOpen) ask();
    else if (event.key === "ArrowDown") mark(at >= last ? 0 : at + 1);
    else if (event.key === "ArrowUp" && isOpen) mark(at <= 0 ? last : at - 1);
    else if (event.key === "Enter" && isOpen && at >= 0) take(at);
    else if (event.key === "Escape" && isOpen) close();
    else return;
    event.preventDefault();
    event.stopPropagation(); // Escape would leave the box
  });
})();
