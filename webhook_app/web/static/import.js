// Sends a file of suppressions and shows the result of each row while the answer arrives. Without this script the form
// works too, and the result is a page. Import is enabled after a check of the same file with the same choices.
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

  function addRow(result) {
    // Half of the space is reserved for invalid rows.
    const space = result.result === "invalid" ? shownAtMost : shownAtMost / 2;
    if (shown >= space) {
      passedOver += 1;
      return;
    }
    shown += 1;
    const row = document.createElement("tr");
    row.append(
      cell("th", number(result.row), ""),
      cell("td", result.contact, "Contact"),
      cell("td", result.result, "Result"),
      cell("td", result.why ?? "", "Why"),
    );
    byId("rows").append(row);
  }

  function counted(counts) {
    return `${number(counts.rows)} rows: ${number(counts.added)} added, ${number(counts.changed)} changed, ` +
      `${number(counts.unchanged)} unchanged, ${number(counts.invalid)} invalid.`;
  }

  function finish(done) {
    byId("counts").textContent = (done.dry_run ? "Checked, nothing is stored yet. " : "Imported. ") + counted(done);
    byId("rows-caption").textContent = passedOver ? `${number(passedOver)} rows are not shown.` : "";
    const after = byId("after");
    if (done.dry_run) {
      really.disabled = done.rows === done.invalid;
      after.textContent = really.disabled ? "There is nothing to import." : "To import the file, press Import.";
      if (!really.disabled) really.focus();
    } else if (done.added + done.changed > 0) {
      const link = document.createElement("a");
      link.href = `/suppressions/changes?batch=${encodeURIComponent(done.batch)}`;
      link.textContent = "View or undo the changes";
      after.replaceChildren(link);
    }
  }

  function take(line) {
    if (line === "") return false;
    const result = JSON.parse(line);
    if (result.error) throw new Error(result.error.message);
    if (result.done) finish(result.done);
    else if (result.progress) byId("counts").textContent = `So far ${counted(result.progress)}`;
    else addRow(result);
    return Boolean(result.done);
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
    if (!isDone) throw new Error("the answer ended early; the rows shown are stored, and you can send the whole file again");
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
      byId("counts").textContent = `Failed: ${fault.message}`;
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
