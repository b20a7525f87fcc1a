/* What may be wider than its column. In tables, columns of words stand left and sentences keep a
   readable width; a table that does not fit is set tighter, one of words then as a list of cards,
   one for each row. Formulas are set smaller as far as they stay readable; printed lines wrap, unless
   they are columns. What is still too wide says that it scrolls. Without this script everything is
   there all the same. */
(() => {
  const LONG = 40; // characters from which a cell is a sentence
  const HIGH = 150; // pixels of a row from which a table reads worse than cards
  const PHONE = window.matchMedia("(max-width: 600px)");
  const NUMBER = /^([-+.,:/()%<>\d\s\u2013\u2014\u2212\u00b1\u00d7\u2264\u2265eE]*|nan|None|inf)$/;

  const text = (cell) => cell.textContent.trim();
  const wider = (box) => box.scrollWidth > box.clientWidth + 2;
  const rowsOf = (table) => [...table.tBodies].flatMap((body) => [...body.rows]);
  const headsOf = (table) => (table.tHead ? [...table.tHead.rows] : []);

  /* The name of the row labels, which pandas puts below the head in a row of its own. */
  const mergeHeads = (table) => {
    const [first, second, ...more] = headsOf(table);
    if (!second || more.length || first.cells.length !== second.cells.length) return;
    const pairs = [...first.cells].map((cell, k) => [cell, second.cells[k]]);
    if (pairs.some(([a, b]) => text(a) && text(b))) return;
    for (const [a, b] of pairs) if (text(b)) a.replaceChildren(...b.childNodes);
    second.remove();
  };

  /* Cells by column, whatever row labels span: [[[cell, ...] of column 0, ...] */
  const columns = (rows) => {
    const out = [], open = [];
    for (const row of rows) {
      let k = 0;
      for (const cell of row.cells) {
        while (open[k] > 0) open[k++] -= 1;
        (out[k] ??= []).push(cell);
        for (let j = 0; j < cell.colSpan; j++) open[k++] = cell.rowSpan - 1;
      }
      for (; k < open.length; k++) if (open[k] > 0) open[k] -= 1;
    }
    return out;
  };

  /* Columns of words left, their heads too; long cells are sentences. */
  const mark = (table) => {
    const rows = rowsOf(table);
    for (const cell of rows.flatMap((row) => [...row.cells])) {
      if (text(cell).length <= LONG) continue;
      cell.classList.add("sentence");
      table.classList.add("sentences");
    }
    const heads = columns(headsOf(table));
    columns(rows).forEach((cells, k) => {
      const said = cells.map(text).filter(Boolean);
      const words = said.filter((cell) => !NUMBER.test(cell));
      if (2 * words.length <= said.length) return;
      for (const cell of [...cells, ...(heads[k] ?? [])]) cell.classList.add("worded");
    });
  };

  /* Whether the rows can stand as cards: every cell below one head. */
  const label = (table) => {
    const [rows, heads] = [rowsOf(table), headsOf(table)];
    if (!heads.length || !rows.length) return false;
    const count = rows[0].cells.length;
    const all = [...heads, ...rows];
    if (all.some((row) => row.cells.length !== count)) return false;
    const cells = all.flatMap((row) => [...row.cells]);
    if (cells.some((cell) => cell.colSpan * cell.rowSpan > 1)) return false;
    if (2 * cells.filter((cell) => cell.querySelector(".math")).length > cells.length) return false;
    for (const row of rows) {
      [...row.cells].forEach((cell, k) => {
        const head = heads.map((h) => text(h.cells[k])).filter(Boolean).join(" ");
        const counted = k === 0 && /^\d+$/.test(text(cell)); // no title of a card without its head
        if (head && (k || counted)) cell.dataset.head = head;
        cell.classList.toggle("blank", text(cell) === "" || (counted && !head));
      });
    }
    return true;
  };

  const setTable = (table, box, cards) => {
    table.classList.remove("cards", "tight");
    const many = rowsOf(table)[0]?.cells.length > 2;
    if (cards && PHONE.matches && many) table.classList.add("cards");
    else if (wider(box)) table.classList.add("tight");
    const high = () => Math.max(...rowsOf(table).map((row) => row.offsetHeight)) > HIGH;
    if (cards && (wider(box) || high())) table.classList.add("cards");
    box.classList.toggle("scrolls", wider(box));
  };

  const setFormula = (formula) => {
    const inner = formula.querySelector("mjx-container");
    if (!inner) return;
    const boxes = [formula, inner];
    formula.classList.remove("scrolls");
    formula.style.fontSize = "";
    if (boxes.some(wider)) {
      const room = Math.min(...boxes.map((b) => b.clientWidth / b.scrollWidth));
      formula.style.fontSize = `${Math.max(PHONE.matches ? 0.68 : 0.85, 0.98 * room)}em`;
    }
    formula.classList.toggle("scrolls", boxes.some(wider));
  };

  /* Lines that share a gap of spaces are columns, and would fall apart if they wrapped. */
  const setPrinted = (printed) => {
    const lines = printed.textContent.split("\n").filter((line) => / {2,}\S/.test(line.trim()));
    printed.classList.toggle("wraps", lines.length < 2);
    printed.parentElement.classList.toggle("scrolls", wider(printed));
  };

  const start = () => {
    const data = [...document.querySelectorAll(".cell_output table.dataframe")];
    const plain = [...document.querySelectorAll(".pst-scrollable-table-container > table")];
    data.forEach(mergeHeads);
    data.forEach(mark);
    const cards = new Set(
      [...data.filter((table) => table.matches(".sentences, .words")), ...plain].filter(label),
    );
    const fit = () => {
      for (const table of [...data, ...plain]) {
        const box = table.closest(".output, .pst-scrollable-table-container");
        setTable(table, box, cards.has(table));
      }
      document.querySelectorAll(".bd-article div.math").forEach(setFormula);
      document.querySelectorAll(".cell_output .output pre").forEach(setPrinted);
    };
    fit();
    window.addEventListener("resize", fit);
    window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(fit));
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
