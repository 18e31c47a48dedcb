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

  // What scrolls sideways says so, and has a shadow where it goes on.
  function hint(part) {
    part.classList.toggle("sideways", part.scrollWidth > part.clientWidth + 1);
    part.classList.toggle("more", part.scrollWidth > part.clientWidth + part.scrollLeft + 1);
  }
  const parts = [...document.querySelectorAll(".wide")];
  for (const part of parts) { hint(part); part.addEventListener("scroll", () => hint(part)); }
  addEventListener("resize", () => parts.forEach(hint));

  function key(row, column) {
    if (column === 0) return row.cells[0].textContent.trim().toLowerCase();
    const text = row.cells[column] && row.cells[column].dataset.sort;
    return text === undefined ? null : Number.isNaN(Number(text)) ? text : Number(text);
  }

  function compare(a, b) {
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  for (const table of document.querySelectorAll("table.numbers")) {
    const body = table.tBodies[0], first = [...body.rows];
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      for (const other of heads) other.removeAttribute("aria-sort");
      const direction = before === null ? "ascending" : before === "ascending" ? "descending" : null;
      table.classList.toggle("sorted", direction !== null);
      if (direction === null) { body.append(...first); return; }
      head.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const keyed = first.map((row) => [key(row, column), row]);
      // Rows without a number stay last in both directions.
      const byValue = (a, b) => a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b);
      // Numbers over different text are not ranked: each text is sorted by itself.
      keyed.sort(([a, x], [b, y]) => compare(x.dataset.text || "", y.dataset.text || "") || byValue(a, b));
      body.append(...keyed.map(([, row]) => row));
    }));
  }

  document.getElementById("written").textContent = new Date(document.lastModified).toLocaleString();
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
})();
