"use strict";
const page = document.documentElement;
const notice = document.getElementById("notice");
const cells = new Map([...document.querySelectorAll("[data-cell]")].map((it) => [it.dataset.cell, it]));
const tables = new Map();

function row(texts) {
  const made = document.createElement("tr");
  for (const text of texts) made.insertCell().textContent = text;
  return made;
}

function fill(told) {
  if (JSON.stringify(told.accounts) !== page.dataset.accounts) return location.reload();
  for (const [name, text] of Object.entries(told.cells)) {
    const cell = cells.get(name);
    if (cell && cell.textContent !== text) cell.textContent = text;
  }
  for (const [name, level] of Object.entries(told.levels)) cells.get(name).dataset.level = level;
  for (const [name, rows] of Object.entries(told.tables)) {
    const text = JSON.stringify(rows), table = document.getElementById(name);
    if (!table || tables.get(name) === text) continue; // what somebody has marked in it stays so
    tables.set(name, text);
    table.tBodies[0].replaceChildren(...rows.map(row));
  }
  for (const [name, path] of Object.entries(told.curve))
    document.getElementById(`curve-${name}`).setAttribute("d", path);
}

// An answer that comes late does not overwrite a newer one: a button may have been pressed meanwhile.
let looks = 0, shown = 0;
async function look() {
  if (document.hidden) return;
  const number = ++looks;
  try {
    const answer = await fetch(`status.json?page=${page.dataset.language}`, { signal: AbortSignal.timeout(4000) });
    if (answer.status === 401) return location.reload();
    const told = await answer.json();
    if (number < shown) return;
    shown = number;
    fill(told);
    delete page.dataset.stale;
  } catch {
    page.dataset.stale = "";
  }
}

document.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (!button.hasAttribute("formaction")) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(event.target, button)); // has nothing of what is disabled
  button.disabled = true;
  try {
    const answer = await fetch(button.formAction, { method: "POST", body, headers: { Accept: "application/json" } });
    const told = await answer.json();
    notice.textContent = told.said ?? told.error.message;
  } catch (error) {
    notice.textContent = `${error}`;
  }
  button.disabled = false;
  look();
});
setInterval(look, 5000);
document.addEventListener("visibilitychange", look);
