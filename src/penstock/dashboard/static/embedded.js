// A page of the dashboard that stands in another page and has no server to ask. What it can show came with it: for each
// metric and feature the bars and tables, for each slice the plots, as the dashboard renders them.
"use strict";

(async () => {
  const MOST_BARS = 60;
  const ROW = 22;
  const unpacked = async (id) => {
    const element = document.getElementById(id);
    if (!element) return null;
    const bytes = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
    element.remove();
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const run = (text) => {
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
  };
  const library = await unpacked("plotly");
  if (library) run(library);
  const packed = await unpacked("fragments");
  if (!packed) return window.penstockPlots?.();

  const { slices, plots, chosen } = JSON.parse(packed);
  const form = document.getElementById("choose");
  for (const [place, name] of ["metric", "feature"].entries()) {
    const known = new Set(Object.keys(slices).map((key) => JSON.parse(key)[place]));
    for (const option of [...(form.elements[name]?.options ?? [])]) if (!known.has(option.value)) option.remove();
  }
  const state = { metric: form.elements.metric.value, feature: form.elements.feature.value, least: Number(form.elements.least.value), chosen, order: null };
  const counted = (element) => Number(element.dataset.examples ?? element.cells[1].dataset.value);
  const isSmall = (element) => counted(element) < state.least;
  const page = () => slices[JSON.stringify([state.metric, state.feature])];

  const hideSmall = () => {
    const rows = [...document.querySelectorAll("#slices tbody tr")].filter((row) => row.dataset.slice !== "{}");
    rows.forEach((row) => (row.hidden = isSmall(row)));
    const large = rows.filter((row) => !row.hidden);
    const bars = document.querySelector("svg.bars");
    let place = 0;
    bars?.querySelectorAll("a.slice").forEach((bar, index) => {
      const isShown = !isSmall(bar) && place < MOST_BARS;
      bar.style.display = isShown ? "" : "none";
      if (isShown) bar.setAttribute("transform", `translate(0 ${(place++ - index) * ROW})`);
    });
    if (bars) {
      const height = 24 + place * ROW;
      bars.setAttribute("height", height);
      bars.setAttribute("viewBox", `0 0 ${bars.getAttribute("width")} ${height}`);
    }
    document.querySelectorAll("#rates tbody tr[data-examples]").forEach((row) => (row.hidden = isSmall(row)));
    document.querySelectorAll(".crossing td[data-examples]").forEach((cell) => (cell.style.visibility = isSmall(cell) ? "hidden" : ""));
    const hidden = document.getElementById("hidden");
    if (hidden) hidden.textContent = rows.length > large.length ? `${rows.length - large.length} slices with fewer than ${state.least} examples hidden` : "";
    const weakest = document.getElementById("weakest");
    // Rows come worst first; sorting by another column does not change which is worst.
    const worst = page().order.map((key) => large.find((row) => row.dataset.slice === key)).find(Boolean);
    if (weakest && worst) {
      weakest.textContent = worst.cells[0].textContent;
      weakest.dataset.slice = worst.dataset.slice;
      document.getElementById("weakest-value").textContent = worst.cells[2].textContent;
      document.getElementById("weakest-examples").textContent = worst.cells[1].textContent;
    }
  };

  const mark = () => {
    const chosen = state.chosen === "{}" ? null : state.chosen;
    document.querySelectorAll("#slices tbody tr").forEach((row) => row.classList.toggle("differs", row.dataset.slice === chosen));
    document.querySelectorAll("svg.bars a.slice").forEach((bar) => bar.classList.toggle("chosen", bar.dataset.slice === chosen));
  };

  const showPlots = () => {
    const found = plots[state.chosen] ?? plots["{}"];
    document.getElementById("plots-section").outerHTML = found.html;
    const { scatter, metric, by } = page();
    const large = scatter.filter((point) => point.name === "Overall" || point.examples >= state.least);
    document.getElementById("plot-data").textContent = JSON.stringify({ data: found.data, scatter: large, metric, by });
    window.penstockPlots();
  };

  // What was a link is a button here.
  const enable = () => {
    for (const target of document.querySelectorAll("#slices th a, #slices td a, #weakest, svg.bars a.slice, .crossing a")) {
      target.setAttribute("tabindex", "0");
      target.setAttribute("role", "button");
    }
  };

  const showSlices = () => {
    document.querySelector("h1").textContent = page().title;
    document.getElementById("by-slice").outerHTML = page().html;
    document.getElementById("groups-section").outerHTML = page().groups;
    enable();
    hideSmall();
    mark();
    showPlots();
  };

  const sortBy = (column) => {
    const isDescending = state.order === column;
    state.order = isDescending ? null : column;
    const body = document.querySelector("#slices tbody");
    const value = (row) => {
      const cell = row.cells[column];
      const number = Number(cell.dataset.value ?? NaN);
      return Number.isNaN(number) ? cell.textContent : number;
    };
    const rows = [...body.rows].filter((row) => row.dataset.slice !== "{}");
    rows.sort((a, b) => {
      const [one, other] = [value(a), value(b)];
      const order = typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), undefined, { numeric: true });
      return isDescending ? -order : order;
    });
    body.append(...rows);
    document.querySelectorAll("#slices th").forEach((head, index) => (index === column ? head.setAttribute("aria-sort", isDescending ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    state.metric = form.elements.metric.value;
    state.feature = form.elements.feature.value;
    state.least = Math.max(0, Number(form.elements.least.value) || 0);
    state.order = null;
    showSlices();
  });
  document.addEventListener("click", (event) => {
    const head = event.target.closest("#slices th");
    if (head) return sortBy(head.cellIndex);
    const key = event.target.closest("[data-slice]")?.dataset.slice;
    if (key === undefined || event.target.closest("a[href]")) return;
    state.chosen = key === state.chosen || !plots[key] ? "{}" : key;
    mark();
    showPlots();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("a[role=button]")) event.target.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  });
  // What this page cannot change is told and not offered.
  for (const name of ["against", "by", "of", "thresholds"]) form.elements[name]?.closest("label").remove();
  form.querySelector("button").remove();
  showSlices();
})();
