// The register of errata can be filtered. Without this script all findings are shown.

const KINDS = ["article", "kind", "severity"];

function values(findings, what) {
  const found = new Set();
  for (const finding of findings) found.add(valueOf(finding, what));
  return [...found].sort();
}

function valueOf(finding, what) {
  const name = [...finding.classList].find((name) => name.startsWith(what + "-"));
  return name.slice(what.length + 1);
}

function choice(what, options, changed) {
  const label = document.createElement("label");
  label.textContent = what + " ";
  const select = document.createElement("select");
  select.dataset.filter = what;
  select.append(new Option("all", ""), ...options.map((value) => new Option(value, value)));
  select.addEventListener("change", changed);
  label.append(select);
  return label;
}

function search(changed) {
  const label = document.createElement("label");
  label.textContent = "words ";
  const input = document.createElement("input");
  input.type = "search";
  input.addEventListener("input", changed);
  label.append(input);
  return label;
}

function start() {
  const findings = [...document.querySelectorAll(".finding")];
  if (!findings.length) return;
  const bar = document.createElement("form");
  bar.className = "errata-filter";
  bar.setAttribute("role", "search");
  bar.setAttribute("aria-label", "Filter the findings");
  const count = document.createElement("output");
  const words = search(show);
  const reset = document.createElement("button");
  reset.type = "reset";
  reset.textContent = "show all";
  bar.append(...KINDS.map((what) => choice(what, values(findings, what), show)), words, reset, count);
  bar.addEventListener("submit", (event) => event.preventDefault());
  bar.addEventListener("reset", () => setTimeout(show));
  const text = new Map(findings.map((finding) => [finding, finding.textContent.toLowerCase()]));

  function show() {
    const wanted = [...bar.querySelectorAll("select")].filter((select) => select.value);
    const asked = words.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const finding of findings) {
      const fits = wanted.every((select) => finding.classList.contains(select.dataset.filter + "-" + select.value));
      finding.hidden = !(fits && asked.every((word) => text.get(finding).includes(word)));
      shown += !finding.hidden;
    }
    count.textContent = shown + " of " + findings.length + " findings";
  }

  // An address of a finding must lead to it, whatever is filtered.
  function follow() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.closest(".finding")?.hidden) {
      bar.reset();
      setTimeout(() => target.scrollIntoView());
    }
  }

  window.addEventListener("hashchange", follow);
  const first = findings[0].closest("section");
  first.before(bar);
  show();
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
