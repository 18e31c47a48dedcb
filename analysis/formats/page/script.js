"use strict";
(() => {
  const box = document.getElementById("tip");
  let shown = null;

  function showTip(target) {
    if (shown) { shown.classList.remove("shown"); shown.removeAttribute("aria-describedby"); }
    shown = target;
    box.hidden = !target;
    if (!target) return;
    target.classList.add("shown");
    target.setAttribute("aria-describedby", "tip");
    box.textContent = target.dataset.tip;
    const at = target.getBoundingClientRect(), width = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(at.left, width - box.offsetWidth - 8));
    const above = at.top - box.offsetHeight - 6, below = at.bottom + 6;
    box.style.left = `${left + scrollX}px`;
    box.style.top = `${(below + box.offsetHeight > innerHeight && above > 0 ? above : below) + scrollY}px`;
  }

  const tipOf = (event) => event.target.closest ? event.target.closest("[data-tip]") : null;
  document.addEventListener("pointerover", (event) => { if (event.pointerType !== "touch") showTip(tipOf(event)); });
  document.addEventListener("focusin", (event) => showTip(tipOf(event)));
  document.addEventListener("click", (event) => { if (!event.target.closest("thead")) showTip(tipOf(event)); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") showTip(null); });

  // On a narrow screen what matters comes first: the verdict, beside the names.
  function verdictFirst(table) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const place = heads.findIndex((head) => head.textContent.trim() === "verdict");
    if (place < 2 || table.tHead.rows.length > 1) return;
    for (const row of table.rows) if (row.cells.length > place) row.insertBefore(row.cells[place], row.cells[1]);
  }
  if (matchMedia("(max-width: 40rem)").matches) document.querySelectorAll("table.numbers").forEach(verdictFirst);

  // What scrolls sideways says so, has a shadow where it goes on, and can be reached by keyboard.
  function hint(part) {
    const scrolls = part.scrollWidth > part.clientWidth + 1;
    part.classList.toggle("sideways", scrolls);
    if (scrolls) part.tabIndex = 0; else part.removeAttribute("tabindex");
    part.classList.toggle("more", part.scrollWidth > part.clientWidth + part.scrollLeft + 1);
  }
  const parts = [...document.querySelectorAll(".wide, nav")];
  for (const part of parts) { hint(part); part.addEventListener("scroll", () => hint(part)); }
  addEventListener("resize", () => parts.forEach(hint));

  // A table has one Tab stop among its numbers, from which arrow keys go to the others.
  function stopAt(table, target) {
    for (const other of table.querySelectorAll(".tip[tabindex='0']")) other.tabIndex = -1;
    if (target) target.tabIndex = 0;
  }
  const isVisible = (part) => part.offsetParent !== null;
  function stopAtVisible(table) {
    const now = table.querySelector(".tip[tabindex='0']");
    if (!now || !isVisible(now)) stopAt(table, [...table.querySelectorAll(".tip")].find(isVisible));
  }
  function neighbour(from, name) {
    const cell = from.closest("td"), row = cell.parentElement;
    const ofRow = [...row.querySelectorAll(".tip")], place = ofRow.indexOf(from);
    if (name === "Home" || name === "End") return ofRow.at(name === "Home" ? 0 : -1);
    if (name === "ArrowLeft" || name === "ArrowRight") return ofRow[place + (name === "ArrowLeft" ? -1 : 1)];
    if (name !== "ArrowUp" && name !== "ArrowDown") return undefined;
    const rows = [...row.parentElement.rows].filter(isVisible), at = rows.indexOf(row);
    const further = name === "ArrowUp" ? rows.slice(0, at).reverse() : rows.slice(at + 1);
    return further.map((other) => other.cells[cell.cellIndex]?.querySelector(".tip")).find(Boolean);
  }
  for (const table of document.querySelectorAll("table.numbers")) {
    table.addEventListener("focusin", (event) => { if (tipOf(event)) stopAt(table, tipOf(event)); });
    table.addEventListener("keydown", (event) => {
      const from = tipOf(event);
      if (!from || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const next = neighbour(from, event.key);
      if (next) { event.preventDefault(); next.focus(); }
    });
    stopAtVisible(table);
  }

  function key(row, column) {
    if (column === 0) return row.cells[0].textContent.trim().toLowerCase();
    const text = row.cells[column] && row.cells[column].dataset.sort;
    return text === undefined ? null : Number.isNaN(Number(text)) ? text : Number(text);
  }

  function compare(a, b) {
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  // What the reader has sorted, and opened or closed, which a page that reloads itself must keep; storage may be denied.
  const place = `lvae ${location.pathname}`;
  let kept = { sorted: {}, toggled: {} };
  try { kept = { ...kept, ...JSON.parse(sessionStorage.getItem(place) || "{}") }; } catch { /* nothing is kept */ }
  function keep(kind, name, value) {
    if (value === null) delete kept[kind][name]; else kept[kind][name] = value;
    try { sessionStorage.setItem(place, JSON.stringify(kept)); } catch { /* nothing is kept */ }
  }
  // A name for each part, which stays the same while others are added: its text, and how many have had it.
  function named(parts, textOf) {
    const counts = {};
    return parts.map((part) => {
      const text = textOf(part);
      counts[text] = (counts[text] || 0) + 1;
      return [`${text} ${counts[text]}`, part];
    });
  }

  for (const [name, table] of named([...document.querySelectorAll("table.numbers")], (one) => one.parentElement.getAttribute("aria-label"))) {
    const body = table.tBodies[0], first = [...body.rows];
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const columns = named(heads, (head) => head.textContent.trim());
    function sort(title, direction) {
      for (const other of heads) other.removeAttribute("aria-sort");
      table.classList.toggle("sorted", direction !== null);
      if (direction === null) { body.append(...first); stopAtVisible(table); return; }
      const column = columns.findIndex(([other]) => other === title), head = heads[column];
      head.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const keyed = first.map((row) => [key(row, column), row]);
      // Rows without a number stay last in both directions.
      const byValue = (a, b) => a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b);
      // Numbers over different text are not ranked: each text is sorted by itself.
      keyed.sort(([a, x], [b, y]) => compare(x.dataset.text || "", y.dataset.text || "") || byValue(a, b));
      body.append(...keyed.map(([, row]) => row));
      stopAtVisible(table);
    }
    for (const [title, head] of columns) head.querySelector("button").addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const direction = before === null ? "ascending" : before === "ascending" ? "descending" : null;
      sort(title, direction);
      keep("sorted", name, direction && [title, direction]);
    });
    const [title, direction] = kept.sorted[name] || [];
    if (columns.some(([other]) => other === title)) sort(title, direction);
  }

  for (const [name, part] of named([...document.querySelectorAll("details")], (one) => one.querySelector("summary b").textContent)) {
    const first = part.open;
    if (kept.toggled[name]) part.open = !first;
    part.addEventListener("toggle", () => keep("toggled", name, part.open === first ? null : true));
  }

  document.getElementById("written").textContent = new Date(document.lastModified).toLocaleString();
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
})();
