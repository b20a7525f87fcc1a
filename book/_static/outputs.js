/* What a stored output cannot hold. Names of anchors in a checklist lead there, powers such as MW^2
   are raised, a cell without a value is a dash, counts that a tolerance made decimals (41.0 days)
   lose their point, and a picture opens alone, for its small letters on a phone. Without this
   script all stand as they are. */
(() => {
  const NOTHING = ["NaN", "<NA>"];
  const NONE = [...NOTHING, ""];
  const ANCHOR = /^(sec|fig|eq|tab)-\d\d-[\w-]+$/;

  const said = (cell) => cell.textContent.trim();
  const target = (name) =>
    document.getElementById(name) || document.getElementById(`equation-${name}`);

  /* What a reader would call it: Fig. 3, (7), or the heading. */
  const title = (to, name) => {
    const of = { fig: ".caption-number", eq: ".eqno" }[name.split("-")[0]];
    const said = of ? to.querySelector(of) : to.closest("section")?.querySelector("h1, h2, h3, h4");
    return said?.textContent.replace("#", "").trim() || name;
  };

  /* Text nodes of a cell with powers, such as p.u.^2 or 2^-3, as superscripts. */
  const raise = (cell) => {
    for (const node of [...cell.childNodes]) {
      if (node.nodeType !== Node.TEXT_NODE) continue;
      const parts = node.data.split(/\^(-?\d+)/);
      if (parts.length === 1) continue;
      const powers = parts.map((part, k) => {
        if (k % 2 === 0) return part;
        const power = document.createElement("sup");
        power.textContent = part;
        return power;
      });
      node.replaceWith(...powers);
    }
  };

  const link = (name) => {
    const out = document.createElement("a");
    out.href = `#${target(name).id}`;
    out.textContent = title(target(name), name);
    return out;
  };

  /* Columns of whole numbers without a point, where every row has the same cells. */
  const count = (table) => {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const cells = rows.map((row) => [...row.cells].filter((cell) => cell.tagName === "TD"));
    if (cells.length < 2 || cells.some((row) => row.length !== cells[0].length)) return;
    cells[0].forEach((_, k) => {
      const known = cells.map((row) => row[k]).filter((cell) => !NONE.includes(said(cell)));
      if (!known.every((cell) => /^-?\d+\.0+$/.test(said(cell)))) return;
      for (const cell of known) cell.textContent = said(cell).replace(/\.0+$/, "");
    });
  };

  const start = () => {
    document.querySelectorAll(".cell_output :is(td, th)").forEach(raise);
    document.querySelectorAll(".cell_output table.dataframe").forEach(count);
    for (const cell of document.querySelectorAll(".cell_output table.dataframe td")) {
      if (NOTHING.includes(cell.textContent.trim())) cell.textContent = "\u2013";
      const names = cell.textContent.trim().split(", ");
      if (!names.every((name) => ANCHOR.test(name) && target(name))) continue;
      cell.replaceChildren(...names.flatMap((name, k) => (k ? [", ", link(name)] : [link(name)])));
    }
    for (const picture of document.querySelectorAll(".cell_output img, figure img")) {
      if (picture.closest("a")) continue;
      const alone = document.createElement("a");
      alone.href = picture.src;
      alone.title = "open the picture alone";
      picture.replaceWith(alone);
      alone.append(picture);
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
