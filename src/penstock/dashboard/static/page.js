// What every page can do beyond HTML: keys, current times, row clicks, copying, sorting, live parts.
"use strict";

(() => {
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  const ago = (seconds) => {
    for (const [unit, size, limit] of [["s", 1, 60], ["m", 60, 3600], ["h", 3600, 86400], ["d", 86400, 2592000]]) {
      // What the clocks of two machines disagree in is no future.
      if (seconds < -5 && -seconds < limit) return `in ${Math.floor(-seconds / size)}${unit}`;
      if (seconds >= -5 && seconds < limit) return `${Math.floor(Math.max(0, seconds) / size)}${unit} ago`;
    }
    return null;
  };

  const refreshTimes = (root = document) => {
    for (const time of $$("time", root)) {
      const moment = new Date(time.dateTime);
      time.title = moment.toLocaleString();
      time.textContent = ago((Date.now() - moment) / 1000) || moment.toLocaleDateString();
    }
  };

  // Rows

  const rows = () => $$("table.rows tbody tr").filter((row) => row.offsetParent !== null && row.querySelector("a"));
  const here = () => document.querySelector("tr.here");
  const go = (step) => {
    const all = rows();
    if (!all.length) return;
    const index = all.indexOf(here());
    const next = all[index < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, index + step))];
    here()?.classList.remove("here");
    next.classList.add("here");
    next.querySelector("a").focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("click", (event) => {
    const row = event.target.closest("table.rows tbody tr");
    if (!row || event.target.closest("a, button, input, label, summary") || String(getSelection())) return;
    row.querySelector("a")?.click();
  });

  // Keys

  const keys = document.getElementById("keys");
  const places = { r: "/runs", p: "/pipelines", a: "/artifacts", e: "/executions", m: "/models", c: "/compare" };
  let wasG = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const afterG = wasG;
    wasG = event.key === "g";
    if (afterG && places[event.key]) location.href = places[event.key];
    else if (event.key === "/") {
      const field = document.querySelector("[data-search]");
      if (!field) return;
      event.preventDefault();
      field.focus();
      field.select();
    } else if (event.key === "?") keys.showModal();
    else if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "Enter" && here() && document.activeElement === document.body) here().querySelector("a").click();
  });
  const keysButton = document.getElementById("keys-button");
  keysButton.hidden = false;
  keysButton.addEventListener("click", () => keys.showModal());

  // Forms whose choices apply at once, and copying

  for (const select of $$("form.filters select, form.filters input[data-apply]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "get") return;
    // Addresses without what was left empty are shorter to share.
    for (const field of $$("input, select", event.target)) if (!field.value) field.disabled = true;
    setTimeout(() => $$(":disabled", event.target).forEach((field) => (field.disabled = false)));
  });
  for (const button of $$(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
    });
  }

  // Sorting tables that are whole on the page

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text.replace(/[,%]/g, "").replace("−", "-"));
    return text === "" || text === "–" ? null : Number.isNaN(number) ? text : number;
  };
  for (const table of $$("table.sortable")) {
    $$("thead th", table).forEach((head, column) => {
      if (!head.textContent.trim() || head.querySelector("a")) return;
      const button = document.createElement("button");
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        $$("th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const sorted = [...body.rows].sort((one, two) => {
          const [a, b] = [valueOf(one, column), valueOf(two, column)];
          if (a === null || b === null) return (a === null) - (b === null);
          const order = typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
          return down ? -order : order;
        });
        body.append(...sorted);
      });
    });
  }
  for (const field of $$("input[data-narrows]")) {
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const row of $$(`#${field.dataset.narrows} tbody tr`)) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }

  // Live parts; EventSource connects again by itself when the server comes back.

  const live = document.getElementById("live");
  if (live?.dataset.events) {
    const source = new EventSource(live.dataset.events);
    const show = (event) => {
      const { html } = JSON.parse(event.data);
      if (html === undefined) return;
      if (live.dataset.reload) return location.reload();
      const holder = document.activeElement?.closest("#live [data-node]");
      const focused = holder && `${holder.localName}[data-node="${CSS.escape(holder.dataset.node)}"]`;
      const marked = live.querySelector("tr.here")?.dataset.node;
      const scrolled = $$(".scroll", live).map((part) => part.scrollLeft);
      live.innerHTML = html;
      $$(".scroll", live).forEach((part, index) => (part.scrollLeft = scrolled[index] || 0));
      const again = focused && live.querySelector(focused);
      (again?.matches("a") ? again : again?.querySelector("a"))?.focus({ preventScroll: true });
      if (marked) live.querySelector(`tr[data-node="${CSS.escape(marked)}"]`)?.classList.add("here");
      refreshTimes(live);
    };
    source.addEventListener("update", show);
    source.addEventListener("last", (event) => {
      source.close();
      show(event);
      // What the run led to, and what can be done now, stand outside of the live part.
      location.reload();
    });
  }
  const log = document.getElementById("log");
  if (log) {
    log.scrollTop = log.scrollHeight;
    if (log.dataset.events) {
      const address = new URL(log.dataset.events, location.href);
      const open = () => {
        const source = new EventSource(address);
        const add = (event) => {
          const { text, position } = JSON.parse(event.data);
          const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
          log.append(text);
          address.searchParams.set("position", position);
          if (atEnd) log.scrollTop = log.scrollHeight;
        };
        source.addEventListener("update", add);
        source.addEventListener("last", (event) => { source.close(); add(event); });
        // A new connection goes on where this one ended.
        source.onerror = () => { source.close(); setTimeout(open, 2000); };
      };
      open();
    }
  }

  refreshTimes();
  setInterval(refreshTimes, 15000);
})();
