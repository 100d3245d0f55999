// The register of errata can be filtered. Without this script all findings are shown.

const FILTERS = { article: "article", severity: "severity", kind: "kind", root: "confusion" };
const FIRST = { severity: "wrong" }; // what the page opens with

function values(findings, what) {
  const names = [...findings].flatMap((finding) => [...finding.classList]);
  const found = names.filter((name) => name.startsWith(what + "-")).map((name) => name.slice(what.length + 1));
  return [...new Set(found)].sort();
}

function choice(what, options, changed) {
  const label = document.createElement("label");
  label.textContent = FILTERS[what] + " ";
  const select = document.createElement("select");
  select.dataset.filter = what;
  select.append(new Option("all", ""), ...options.map((value) => new Option(value.replaceAll("-", " "), value)));
  select.value = FIRST[what] ?? "";
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
  reset.type = "button";
  reset.textContent = "show all";
  const choices = Object.keys(FILTERS).map((what) => [what, values(findings, what)]).filter(([, found]) => found.length > 1);
  bar.append(...choices.map(([what, found]) => choice(what, found, show)), words, reset, count);
  bar.addEventListener("submit", (event) => event.preventDefault());
  reset.addEventListener("click", showAll);
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

  function showAll() {
    for (const control of bar.querySelectorAll("select, input")) control.value = "";
    show();
  }

  // An address of a finding must lead to it, whatever is filtered.
  function follow() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.closest(".finding")?.hidden) {
      showAll();
      target.scrollIntoView();
    }
  }

  window.addEventListener("hashchange", follow);
  findings[0].before(bar);
  show();
  follow();
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
