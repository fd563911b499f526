/** The request as it may be copied, and the answer as JSON, in tabs. */

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { curl, python, readable } from "./snippets.js";

const TABS = { curl: "curl", python: "Python", json: "JSON" };
const MASK_FORMS = { rle: "COCO RLE", polygon: "Polygons", png: "PNG", none: "None" };

/** The panel; `onMaskForm(form)` is told. Its `show({request, answer})` fills the tabs. */
export function codePanel(element, onMaskForm) {
  const shown = { curl: "", python: "", json: "" };
  const full = { ...shown };
  let current = "curl";
  const text = h("pre", { id: "code-text", tabIndex: 0, role: "tabpanel" });
  const tabs = Object.entries(TABS).map(([name, title]) =>
    h("button", { role: "tab", id: `tab-${name}`, "aria-controls": "code-text", data: { tab: name } }, title),
  );
  const select = (name) => {
    current = name;
    for (const tab of tabs) {
      const selected = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", selected);
      tab.tabIndex = selected ? 0 : -1;
    }
    text.setAttribute("aria-labelledby", `tab-${name}`);
    text.textContent = shown[name];
  };
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Form" }, tabs);
  list.addEventListener("click", ({ target }) => target.dataset.tab && select(target.dataset.tab));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = (Object.keys(TABS).indexOf(current) + step + tabs.length) % tabs.length;
    select(tabs[at].dataset.tab);
    tabs[at].focus();
  });
  const choices = Object.entries(MASK_FORMS).map(([value, title]) => h("option", { value }, title));
  const forms = h("select", { name: "masks" }, choices);
  forms.addEventListener("change", () => onMaskForm(forms.value));
  const copy = h("button", {}, icon("copy"), h("span", { role: "status" }, "Copy"));
  copy.addEventListener("click", async () => {
    await copyText(full[current]);
    copy.lastChild.textContent = "Copied";
    setTimeout(() => (copy.lastChild.textContent = "Copy"), 1500);
  });
  element.replaceChildren(
    h(
      "div",
      { class: "actions" },
      h("h2", {}, "The same from a program"),
      h("label", { class: "masks" }, "Masks as ", forms),
      list,
      copy,
    ),
    text,
  );
  select(current);
  return {
    show({ request, answer }) {
      shown.curl = full.curl = curl(request);
      shown.python = full.python = python(request);
      shown.json = answer ? readable(answer) : "";
      full.json = answer ? JSON.stringify(answer) : "";
      text.textContent = shown[current];
    },
  };
}

/** Without a secure context there is no clipboard: then a selection is copied. */
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = h("textarea", { value: text });
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
