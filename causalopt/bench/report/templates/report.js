"use strict";
(() => {
  // ---- tables: sort by a heading, filter by words ----

  const valueOf = (cell) => {
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.textContent.trim();
    return text === "" ? null : text;
  };

  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  function sort(table, heading) {
    const column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [valueOf(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what is missing comes last, both ways
      return down ? compare(b, a) : compare(a, b);
    });
    body.append(...rows.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.figures")) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("span"); // browsers leave real buttons out of headings repeated in print
      button.tabIndex = 0;
      button.setAttribute("role", "button");
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, heading));
      button.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        sort(table, heading);
      });
      heading.append(button);
    }
  }

  for (const box of document.querySelectorAll(".filter")) {
    const input = box.querySelector("input");
    const output = box.querySelector("output");
    const rows = Array.from(box.parentElement.querySelector("table").tBodies[0].rows);
    const texts = rows.map((row) => Array.from(row.cells, (cell) => cell.textContent).join(" ").toLowerCase());
    const count = (number) => number.toLocaleString("en");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      rows.forEach((row, k) => {
        row.hidden = !words.every((word) => texts[k].includes(word));
        left += !row.hidden;
      });
      output.textContent = words.length ? `${count(left)} of ${count(rows.length)} rows` : `${count(rows.length)} rows`;
    });
  }

  // ---- a small screen starts with the figures, not with the contents ----

  if (window.innerWidth < 1088) document.querySelector("nav details").open = false;

  // ---- plots ----

  async function unpacked() {
    const packed = document.getElementById("plotly").textContent;
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  async function draw() {
    const charts = Array.from(document.querySelectorAll("figure.chart"));
    if (charts.length) {
      const script = document.createElement("script");
      script.textContent = await unpacked();
      document.head.append(script);
    }
    for (const chart of charts) {
      const { data, layout } = JSON.parse(chart.querySelector("script").textContent);
      const place = chart.querySelector(".plot");
      if (place.clientWidth < 500) {
        // a narrow legend is a tall one: the plot keeps its height
        layout.height += 11 * data.length;
        layout.font.size = 11;
        layout.legend.maxheight = 0.9;
      }
      await window.Plotly.newPlot(place, data, layout, { displaylogo: false, responsive: true });
      place.style.minHeight = "";
    }
    document.documentElement.dataset.plots = "drawn";
  }

  draw().catch((error) => {
    for (const place of document.querySelectorAll(".plot:empty")) {
      const text = document.createElement("p");
      text.className = "failed";
      text.textContent = `The plots need a browser of 2023 or later (${error}). All figures are in the tables.`;
      place.append(text);
    }
    document.documentElement.dataset.plots = "failed";
  });
})();
