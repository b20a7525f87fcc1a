/* Links that a stored output cannot hold: names of anchors in a checklist lead there, and a picture
   opens in full, for its small letters on a phone. Without this script both stand as they are. */
(() => {
  const ANCHOR = /^(sec|fig|eq)-\d\d-[\w-]+$/;

  const target = (name) =>
    document.getElementById(name) || document.getElementById(`equation-${name}`);

  /* What a reader would call it: Fig. 3, (7), or the heading. */
  const title = (to, name) => {
    const of = { fig: ".caption-number", eq: ".eqno" }[name.split("-")[0]];
    const said = of ? to.querySelector(of) : to.closest("section")?.querySelector("h1, h2, h3, h4");
    return said?.textContent.replace("#", "").trim() || name;
  };

  const link = (name) => {
    const out = document.createElement("a");
    out.href = `#${target(name).id}`;
    out.textContent = title(target(name), name);
    return out;
  };

  const start = () => {
    for (const cell of document.querySelectorAll(".cell_output table.dataframe td")) {
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
