/* The ledger: search it, filter it by paper and verdict, sort it by a column. Without this script
   the table is whole and in order. */
(() => {
  const start = () => {
    const table = document.querySelector("table.ledger");
    if (!table) return;
    const rows = [...table.tBodies[0].rows];
    const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const bar = document.createElement("div");
    bar.className = "ledger-bar";

    const field = (label, element) => {
      const box = document.createElement("label");
      box.append(label + " ", element);
      bar.append(box);
      return element;
    };
    const choice = (label, values) => {
      const select = document.createElement("select");
      for (const [value, words] of [["", "all"], ...values]) select.add(new Option(words, value));
      return field(label, select);
    };
    const values = (key, words) =>
      [...new Map(rows.map((row) => [row.dataset[key], words(row)]))].sort((a, b) =>
        a[1].localeCompare(b[1]));

    const search = field("search", document.createElement("input"));
    search.type = "search";
    const paper = choice("paper", values("paper", (row) => row.dataset.paper));
    const verdict = choice("verdict", values("verdict", (row) => row.cells[3].textContent));
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    bar.append(count);
    table.before(bar);

    const show = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const fits = (!paper.value || row.dataset.paper === paper.value) &&
          (!verdict.value || row.dataset.verdict === verdict.value) &&
          words.every((word) => text.get(row).includes(word));
        row.hidden = !fits;
        shown += fits;
      }
      count.textContent = `${shown} of ${rows.length} claims`;
    };
    for (const control of [search, paper, verdict]) control.addEventListener("input", show);

    const number = (row, k) => parseFloat(row.cells[k].textContent.replace("\u2212", "-"));
    /* Numbers by size, in the two columns of numbers; words by the alphabet; empty cells last. */
    const compare = (k) => (a, b) => {
      const [x, y] = [1, 2].includes(k) ? [number(a, k), number(b, k)] : [0, 0];
      if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
      const empty = (row) => row.cells[k].textContent === "";
      if (empty(a) !== empty(b)) return empty(a) ? 1 : -1;
      return x - y || a.cells[k].textContent.localeCompare(b.cells[k].textContent, "en",
        { numeric: true });
    };
    [...table.tHead.rows[0].cells].forEach((head, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        rows.sort(compare(k));
        if (!up) rows.reverse();
        table.tBodies[0].append(...rows);
      });
    });
    show();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
