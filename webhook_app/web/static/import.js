// Sends a file of suppressions and shows what becomes of each row while the answer comes. Without it the form works too,
// and the result comes as a page when all is done. Importing waits for a check of the same file with the same choices.
"use strict";
(() => {
  const form = document.getElementById("import");
  if (!form) return;
  const byId = (id) => document.getElementById(id);
  const shownAtMost = Number(form.dataset.shown);
  const really = byId("really");
  let shown = 0;
  let passedOver = 0;

  const number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");

  function awaitCheck() {
    really.disabled = true;
    really.title = "Check the file first";
  }

  function cell(tag, words, label) {
    const made = document.createElement(tag);
    if (tag === "th") made.scope = "row";
    else made.dataset.label = label;
    const inner = document.createElement("span");
    inner.textContent = words;
    made.append(inner);
    return made;
  }

  function addRow(told) {
    // Half of the room is kept for rows that cannot be used: those one looks for.
    const room = told.result === "invalid" ? shownAtMost : shownAtMost / 2;
    if (shown >= room) {
      passedOver += 1;
      return;
    }
    shown += 1;
    const row = document.createElement("tr");
    row.append(
      cell("th", number(told.row), ""),
      cell("td", told.contact, "Contact"),
      cell("td", told.result === "invalid" ? "cannot be used" : told.result, "Result"),
      cell("td", told.why ?? "", "Why"),
    );
    byId("rows").append(row);
  }

  function counted(counts) {
    return `${number(counts.rows)} rows: ${number(counts.added)} added, ${number(counts.changed)} changed, ` +
      `${number(counts.unchanged)} as they were, ${number(counts.invalid)} that cannot be used.`;
  }

  function finish(done) {
    byId("counts").textContent = (done.dry_run ? "Checked, nothing is stored yet. " : "Imported. ") + counted(done);
    byId("rows-caption").textContent = passedOver ? `${number(passedOver)} rows are not shown.` : "";
    const after = byId("after");
    if (done.dry_run) {
      really.disabled = done.rows === done.invalid;
      after.textContent = really.disabled ? "There is nothing to import." : "If that is right, press Import.";
      if (!really.disabled) really.focus();
    } else if (done.added + done.changed > 0) {
      const link = document.createElement("a");
      link.href = `/suppressions/changes?batch=${encodeURIComponent(done.batch)}`;
      link.textContent = "See what changed, or take it back";
      after.replaceChildren(link);
    }
  }

  function take(line) {
    if (line === "") return false;
    const told = JSON.parse(line);
    if (told.error) throw new Error(told.error.message);
    if (told.done) finish(told.done);
    else if (told.progress) byId("counts").textContent = `So far ${counted(told.progress)}`;
    else addRow(told);
    return Boolean(told.done);
  }

  async function read(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let isDone = false;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) isDone = take(line) || isDone;
    }
    if (!isDone) throw new Error("it broke off; what was answered is stored, and the whole file can be sent again");
  }

  async function send(action) {
    const body = new FormData(form);
    body.set("action", action);
    shown = 0;
    passedOver = 0;
    for (const id of ["rows", "after", "rows-caption"]) byId(id).replaceChildren();
    byId("progress").hidden = false;
    byId("bar").hidden = false;
    byId("counts").textContent = action === "import" ? "Importing …" : "Checking …";
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { Accept: "application/x-ndjson" } });
      if (!(answer.headers.get("Content-Type") ?? "").startsWith("application/x-ndjson")) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        throw new Error(page.querySelector(".refusal, main p")?.textContent ?? `the answer was ${answer.status}`);
      }
      await read(answer);
    } catch (fault) {
      byId("counts").textContent = `That did not work: ${fault.message}`;
    } finally {
      byId("bar").hidden = true;
      form.querySelector("button[value=check]").disabled = false;
      if (action === "import") awaitCheck();
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.submitter?.value === "import" ? "import" : "check");
  });
  form.addEventListener("change", awaitCheck);
  form.addEventListener("input", awaitCheck);
  awaitCheck();
})();
