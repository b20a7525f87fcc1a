/* Tables of results: sentences stand left and keep a readable width, and a table that is wider than
   its column says that it scrolls. Without this script they are complete all the same. */
(() => {
  const LONG = 40; // characters from which a cell is a sentence

  const start = () => {
    const tables = [...document.querySelectorAll(".cell_output table.dataframe")];
    for (const table of tables) {
      for (const cell of table.querySelectorAll("td, tbody th")) {
        if (cell.textContent.trim().length <= LONG) continue;
        cell.classList.add("sentence");
        table.classList.add("sentences");
      }
    }
    const hint = () => {
      for (const table of tables) {
        const box = table.closest(".output");
        box.classList.toggle("scrolls", box.scrollWidth > box.clientWidth + 2);
      }
    };
    hint();
    window.addEventListener("resize", hint);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
