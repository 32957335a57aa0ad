// Curves of an evaluation. The plotting library is large, so it is loaded when a plot comes into view.
"use strict";

const penstockPlots = () => {
  const source = document.getElementById("plot-data");
  if (!source) return;
  const { data, scatter, metric, by } = JSON.parse(source.textContent);
  const series = data.series;
  let threshold = data.threshold;

  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid"];
  // Okabe and Ito's palette, which the colour-blind tell apart; dashes tell lines apart in grey.
  const ON_WHITE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888"];
  const ON_BLACK = ["#56b4e9", "#e69f00", "#2fc79a", "#dd94bf", "#f0e442", "#3d9bd6", "#aaaaaa"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (index) => (dark.matches ? ON_BLACK : ON_WHITE)[index % ON_WHITE.length];
  const PARTS = 20;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ratio = (part, whole) => (whole > 0 ? part / whole : null);
  const round = (value) => (value === null ? "–" : Number(value.toFixed(4)));

  const nearest = (confusion, value) =>
    confusion.thresholds.reduce((best, each, index) => (Math.abs(each - value) < Math.abs(confusion.thresholds[best] - value) ? index : best), 0);

  // Points of each kind of curve: columns by name, the first two are drawn.
  const curves = {
    roc: (entry) => entry.confusion && {
      "false positive rate": entry.confusion.thresholds.map((_, i) => ratio(entry.confusion.fp[i], entry.confusion.fp[i] + entry.confusion.tn[i])),
      "true positive rate": entry.confusion.thresholds.map((_, i) => ratio(entry.confusion.tp[i], entry.confusion.tp[i] + entry.confusion.fn[i])),
      threshold: entry.confusion.thresholds,
    },
    pr: (entry) => entry.confusion && {
      recall: entry.confusion.thresholds.map((_, i) => ratio(entry.confusion.tp[i], entry.confusion.tp[i] + entry.confusion.fn[i])),
      precision: entry.confusion.thresholds.map((_, i) => ratio(entry.confusion.tp[i], entry.confusion.tp[i] + entry.confusion.fp[i])),
      threshold: entry.confusion.thresholds,
    },
    calibration: (entry) => entry.calibration && {
      "mean prediction": entry.calibration.map((bucket) => bucket[4] / bucket[2]),
      "mean label": entry.calibration.map((bucket) => bucket[3] / bucket[2]),
      examples: entry.calibration.map((bucket) => bucket[2]),
    },
    // Label minus prediction: above zero the model said too little.
    mean_residuals: (entry) => entry.calibration && {
      "mean prediction": entry.calibration.map((bucket) => bucket[4] / bucket[2]),
      "mean residual": entry.calibration.map((bucket) => (bucket[3] - bucket[4]) / bucket[2]),
      examples: entry.calibration.map((bucket) => bucket[2]),
    },
    residuals: (entry) => {
      if (!entry.residuals) return null;
      const total = entry.residuals.reduce((sum, bucket) => sum + bucket[2], 0);
      // Buckets without examples are not recorded; those at both ends are open, and stand where their examples are.
      const points = [];
      let end = null;
      for (const [low, high, count, labels, predictions] of entry.residuals) {
        const middle = low === null || high === null ? (labels - predictions) / count : (low + high) / 2;
        if (end !== null && low !== null && low > end + Math.abs(end) * 1e-9) points.push([end, 0], [low, 0]);
        points.push([middle, count]);
        end = high;
      }
      return { residual: points.map(([at]) => at), "share of examples": points.map(([, count]) => count / total), examples: points.map(([, count]) => count) };
    },
    distribution: (entry) => {
      if (!entry.calibration) return null;
      // Twenty parts of the range are what the eye takes in; each holds as many of the buckets, which can be many more.
      const closed = entry.calibration.find(([low, high]) => low !== null && high !== null);
      const width = closed ? closed[1] - closed[0] : 1;
      const places = entry.calibration.map(([low, high]) => Math.floor((low ?? high - width) / width + 1e-6));
      const isShare = entry.calibration.every((bucket) => bucket[4] >= 0 && bucket[4] <= bucket[2]);
      const first = isShare ? 0 : Math.min(...places);
      const last = isShare ? Math.round(1 / width) - 1 : Math.max(...places);
      const size = Math.max(1, Math.ceil((last - first + 1) / PARTS));
      const examples = Array(Math.max(1, Math.ceil((last - first + 1) / size))).fill(0);
      places.forEach((place, index) => (examples[Math.max(0, Math.min(examples.length - 1, Math.floor((place - first) / size)))] += entry.calibration[index][2]));
      const total = examples.reduce((sum, count) => sum + count, 0);
      return {
        prediction: examples.map((_, index) => (first + (index + 0.5) * size) * width),
        "share of examples": examples.map((count) => count / total),
        examples,
      };
    },
  };

  const tracesOf = (kind) => series.flatMap((entry, index) => {
    const columns = curves[kind](entry);
    if (!columns) return [];
    const [xName, yName, third] = Object.keys(columns);
    const trace = {
      name: entry.name, x: columns[xName], y: columns[yName], customdata: columns[third], marker: { color: colour(index), size: 5 },
      line: { color: colour(index), width: 1.6, dash: DASHES[index % DASHES.length] },
      hovertemplate: `${entry.name.replace(/[<>&]/g, " ")}<br>${xName} %{x:.4f}<br>${yName} %{y:.4f}<br>${third} %{customdata}<extra></extra>`,
    };
    if (kind === "distribution" || kind === "residuals") return [{ ...trace, type: "scatter", mode: "lines", line: { ...trace.line, shape: "hvh" } }];
    if (kind === "calibration" || kind === "mean_residuals") {
      const most = Math.max(...columns.examples);
      return [{ ...trace, type: "scatter", mode: "markers", marker: { color: colour(index), line: { width: 0 }, size: columns.examples.map((n) => 4 + 14 * Math.sqrt(n / most)), opacity: 0.75 } }];
    }
    const at = nearest(entry.confusion, threshold);
    return [
      { ...trace, type: "scatter", mode: "lines" },
      { ...trace, type: "scatter", mode: "markers", showlegend: false, x: [trace.x[at]], y: [trace.y[at]], customdata: [columns.threshold[at]], marker: { color: colour(index), size: 9, symbol: "diamond" } },
    ];
  });

  const layoutOf = (xName, yName, extra = {}) => {
    const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true };
    return {
      font: { family: "system-ui, sans-serif", size: 12, color: css("--ink") }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 50, r: 10, t: series.length > 1 ? 34 : 8, b: 40 }, hovermode: "closest", showlegend: series.length > 1, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      xaxis: { ...axis, title: { text: xName } }, yaxis: { ...axis, title: { text: yName } }, ...extra,
    };
  };

  // What a plot is read against: chance, no error.
  const guide = (kind, traces) => {
    const line = { color: css("--grey"), width: 1, dash: "dot" };
    const all = (axis) => traces.flatMap((trace) => trace[axis]).filter((value) => value !== null);
    if (kind === "residuals") return [{ type: "line", x0: 0, x1: 0, y0: 0, y1: 1, yref: "paper", line }];
    if (kind === "mean_residuals") return [{ type: "line", x0: 0, x1: 1, xref: "paper", y0: 0, y1: 0, line }];
    if (kind !== "roc" && kind !== "calibration") return [];
    const [low, high] = [Math.min(0, ...all("x")), Math.max(kind === "roc" ? 1 : 0, ...all("x"), ...all("y"))];
    return [{ type: "line", x0: low, y0: low, x1: high, y1: high, line }];
  };

  const draw = (element) => {
    const kind = element.dataset.plot;
    const options = { responsive: true, displaylogo: false, displayModeBar: false };
    if (kind === "scatter") {
      const points = scatter.filter((point) => point.x !== null && point.y !== null);
      const most = Math.max(1, ...points.map((point) => point.examples || 1));
      const trace = {
        type: "scatter", mode: "markers", x: points.map((p) => p.x), y: points.map((p) => p.y), text: points.map((p) => p.name), customdata: points.map((p) => p.examples),
        marker: { color: points.map((p) => (colour(p.name === "Overall" ? 1 : 0))), size: points.map((p) => 6 + 18 * Math.sqrt((p.examples || 0) / most)), opacity: 0.7 },
        hovertemplate: "%{text}<br>" + `${by} %{x:.4f}<br>${metric} %{y:.4f}<br>%{customdata} examples<extra></extra>`,
      };
      return Plotly.react(element, [trace], { ...layoutOf(by, metric), showlegend: false }, options);
    }
    const traces = tracesOf(kind);
    const first = series.map(curves[kind]).find(Boolean);
    if (!first) {
      element.textContent = "The evaluation has no data for this plot.";
      element.className = "empty";
      return null;
    }
    const [xName, yName] = Object.keys(first);
    return Plotly.react(element, traces, layoutOf(xName, yName, { shapes: guide(kind, traces) }), options);
  };

  // What a plot shows as rows, for its table and its CSV

  const tableOf = (kind) => {
    if (kind === "scatter") return [["slice", by, metric, "examples"], ...scatter.map((point) => [point.name, point.x, point.y, point.examples])];
    const rows = [];
    for (const entry of series) {
      const columns = curves[kind](entry);
      if (!columns) continue;
      const names = Object.keys(columns);
      if (!rows.length) rows.push(["slice", ...names]);
      columns[names[0]].forEach((_, index) => rows.push([entry.name, ...names.map((name) => columns[name][index])]));
    }
    return rows;
  };
  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const quoted = (cell) => {
    // A leading sign or formula mark would be run by spreadsheets.
    const text = cell === null || cell === undefined ? "" : typeof cell === "string" && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : String(cell);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const addTools = (element) => {
    const kind = element.dataset.plot;
    if (element.nextElementSibling?.matches(".tools")) return;
    const bar = document.createElement("p");
    bar.className = "quiet tools";
    const add = (word, action) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "plain";
      button.textContent = word;
      button.addEventListener("click", action);
      bar.append(button);
    };
    add("Table", () => {
      const shown = bar.nextElementSibling;
      if (shown?.matches(".scroll")) return shown.remove();
      const box = document.createElement("div");
      box.className = "scroll plot-table";
      const table = document.createElement("table");
      tableOf(kind).forEach((cells, index) => {
        const row = (index ? table.tBodies[0] || table.createTBody() : table.createTHead()).insertRow();
        for (const cell of cells) {
          const target = document.createElement(index ? "td" : "th");
          target.textContent = typeof cell === "number" ? round(cell) : cell ?? "–";
          if (typeof cell === "number") target.className = "right";
          row.append(target);
        }
      });
      box.append(table);
      bar.after(box);
    });
    add("CSV", () => save(`${kind}.csv`, "text/csv", tableOf(kind).map((row) => row.map(quoted).join(",")).join("\n") + "\n"));
    for (const format of ["png", "svg"]) add(format.toUpperCase(), () => Plotly.downloadImage(element, { format, filename: kind, width: 900, height: 600 }));
    element.after(bar);
  };

  let library = null;
  const load = () => (library ??= window.Plotly ? Promise.resolve() : new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/static/plotly.min.js";
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  }));

  const drawn = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting || drawn.has(entry.target)) continue;
      observer.unobserve(entry.target);
      load().then(() => { drawn.add(entry.target); if (draw(entry.target)) addTools(entry.target); }, () => { entry.target.textContent = "The plotting library could not be loaded; reload the page to try again."; });
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll("[data-plot]").forEach((element) => observer.observe(element));

  // The threshold: matrices and marks follow the slider, and so does the address.

  const slider = document.getElementById("threshold");
  const showMatrices = () => {
    for (const table of document.querySelectorAll("#matrices table")) {
      const confusion = series[table.dataset.series]?.confusion;
      if (!confusion) continue;
      const at = nearest(confusion, threshold);
      for (const cell of table.querySelectorAll("[data-cell]")) cell.textContent = confusion[cell.dataset.cell][at].toLocaleString("en", { maximumFractionDigits: 4 });
    }
  };
  const shown = (value) => (value === null ? "–" : value.toLocaleString("en", { maximumFractionDigits: 4 }));
  const showClasses = () => {
    for (const box of document.querySelectorAll("[data-classes]")) {
      const recorded = data.classes[box.dataset.classes];
      const near = Object.keys(recorded).reduce((best, each) => (Math.abs(each - threshold) < Math.abs(best - threshold) ? each : best));
      const count = (isWanted) => recorded[near].reduce((sum, [actual, predicted, examples]) => sum + (isWanted(String(actual), String(predicted ?? "none")) ? examples : 0), 0);
      box.querySelector("[data-threshold]").textContent = Number(near);
      for (const cell of box.querySelectorAll("[data-actual]")) {
        const { actual, predicted } = cell.dataset;
        const examples = count((one, other) => one === actual && other === predicted);
        const part = ratio(examples, count((one) => one === actual));
        cell.children[0].textContent = shown(examples);
        cell.children[1].textContent = part === null ? "–" : `${(100 * part).toFixed(part === 0 || part === 1 ? 0 : 1)} %`;
      }
      for (const row of box.querySelectorAll("[data-class]")) {
        const label = row.dataset.class;
        const actual = count((one) => one === label);
        const called = count((_, other) => other === label);
        const right = count((one, other) => one === label && other === label);
        const values = [actual, called, ratio(right, called), ratio(right, actual), ratio(2 * right, actual + called)];
        values.forEach((value, index) => {
          row.cells[index + 1].textContent = shown(value);
          row.cells[index + 1].dataset.value = value;
        });
      }
    }
  };
  slider?.addEventListener("input", () => {
    threshold = Number(slider.value);
    document.getElementById("threshold-value").textContent = threshold;
    showMatrices();
    showClasses();
    for (const element of drawn) if (["roc", "pr"].includes(element.dataset.plot)) draw(element);
  });
  slider?.addEventListener("change", () => {
    if ("embedded" in document.documentElement.dataset) return;
    const address = new URL(location.href);
    const others = (address.searchParams.get("thresholds") || "").split(/[\s,]+/).slice(1);
    address.searchParams.set("thresholds", [slider.value, ...others].join(" "));
    history.replaceState(null, "", address);
    const field = document.querySelector("#choose [name=thresholds]");
    if (field) field.value = [slider.value, ...others].join(" ");
  });

  dark.addEventListener("change", () => drawn.forEach(draw));
};

// A page that stands in another one loads the library first.
if (!("embedded" in document.documentElement.dataset)) penstockPlots();
window.penstockPlots = penstockPlots;
