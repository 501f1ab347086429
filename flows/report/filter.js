"use strict";
const box = document.getElementById("find");
const samples = Array.from(document.querySelectorAll(".sample"));
const count = document.getElementById("found");
const kinds = document.getElementById("kind");
function show() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let number = 0;
  for (const sample of samples) {
    const text = sample.textContent.toLowerCase();
    const fits = words.every((word) => text.includes(word)) && (!kinds.value || sample.dataset.why === kinds.value);
    sample.hidden = !fits;
    sample.open = fits && (words.length > 0 || number < 6);
    number += fits ? 1 : 0;
  }
  count.textContent = `${number} of ${samples.length} problems shown`;
}
if (box) {
  document.getElementById("filter").hidden = false;
  box.addEventListener("input", show);
  kinds.addEventListener("change", show);
}
addEventListener("beforeprint", () => document.querySelectorAll("#lineage details, #recipe details").forEach((each) => { each.open = true; }));
