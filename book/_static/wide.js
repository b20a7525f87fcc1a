/* What may be wider than its column. Columns of words stand left and sentences keep a readable
   width; a table of words that does not fit is a list of cards, one for each row; on a phone
   formulas are set smaller as far as they stay readable. What is still too wide says that it
   scrolls. Without this script everything is there all the same. */
(() => {
  const LONG = 40; // characters from which a cell is a sentence
  const SMALLEST = 0.72; // of a formula's size
  const PHONE = window.matchMedia("(max-width: 600px)");
  const NUMBER = /^([-+.,:/()%<>\d\s\u2013\u2014\u2212\u00b1\u00d7\u2264\u2265eE]*|nan|NaN|<NA>|None|inf)$/;

  const text = (cell) => cell.textContent.trim();
  const wider = (box) => box.scrollWidth > box.clientWidth + 2;

  /* Columns of words left, their heads too; long cells are sentences. */
  const mark = (table) => {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const heads = table.tHead ? [...table.tHead.rows] : [];
    for (const cell of rows.flatMap((row) => [...row.cells])) {
      if (text(cell).length <= LONG) continue;
      cell.classList.add("sentence");
      table.classList.add("sentences");
    }
    if ([...heads, ...rows].some((row) => row.cells.length !== rows[0].cells.length)) return;
    for (let k = 0; k < rows[0].cells.length; k++) {
      const words = rows.filter((row) => !NUMBER.test(text(row.cells[k])));
      if (2 * words.length <= rows.length) continue;
      for (const row of [...heads, ...rows]) row.cells[k].classList.add("worded");
    }
  };

  /* Whether the rows can stand as cards: every cell below one head. */
  const label = (table) => {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const heads = table.tHead ? [...table.tHead.rows] : [];
    if (!heads.length || !rows.length) return false;
    const count = rows[0].cells.length;
    const all = [...heads, ...rows];
    if (all.some((row) => row.cells.length !== count)) return false;
    if (all.some((row) => [...row.cells].some((c) => c.colSpan * c.rowSpan > 1))) return false;
    for (const row of rows) {
      [...row.cells].forEach((cell, k) => {
        const head = heads.map((h) => text(h.cells[k])).filter(Boolean).join(" ");
        if (k && head) cell.dataset.head = head;
        cell.classList.toggle("blank", text(cell) === "");
      });
    }
    return true;
  };

  const shrink = (formula) => {
    const inner = formula.querySelector("mjx-container");
    if (!inner) return;
    const boxes = [formula, inner];
    formula.classList.remove("scrolls");
    formula.style.fontSize = "";
    if (PHONE.matches && boxes.some(wider)) {
      const room = Math.min(...boxes.map((b) => b.clientWidth / b.scrollWidth));
      formula.style.fontSize = `${Math.max(SMALLEST, 0.99 * room)}em`;
    }
    formula.classList.toggle("scrolls", boxes.some(wider));
  };

  const start = () => {
    const data = [...document.querySelectorAll(".cell_output table.dataframe")];
    const plain = [...document.querySelectorAll(".pst-scrollable-table-container > table")];
    data.forEach(mark);
    const box = (table) => table.closest(".output, .pst-scrollable-table-container");
    const cards = [...data.filter((t) => t.matches(".sentences, .words")), ...plain].filter(label);

    const fit = () => {
      for (const table of cards) {
        table.classList.remove("cards");
        table.classList.toggle("cards", wider(box(table)));
      }
      for (const table of [...data, ...plain]) {
        box(table).classList.toggle("scrolls", wider(box(table)));
      }
      document.querySelectorAll(".bd-article div.math").forEach(shrink);
    };
    fit();
    window.addEventListener("resize", fit);
    window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(fit));
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
