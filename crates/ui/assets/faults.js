// The demo's fault switches. Shown only where the agent has them.

import { $, h, morphChildren } from "./dom.js";

const ADDRESS = "/v1/demo/faults";
const LOOK_EVERY = 3000;
const KINDS = {
  errors: { label: "Share of requests", value: "30%" },
  latency: { label: "Added time", value: "250ms" },
  hang: { label: "Share of requests", value: "20%" },
};

async function ask(method, body) {
  const response = await fetch(ADDRESS, {
    method,
    cache: "no-store",
    ...(body ? { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } } : {}),
  });
  if (response.status === 404) return null;
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim() || `the agent answered ${response.status}`);
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

const specOf = (fault) => fault.Spec ?? [fault.Kind, fault.Target, fault.Value].filter(Boolean).join(":");

/// A service of several instances can also be broken as a whole: its name without a number.
function withWholeServices(targets) {
  const names = targets.map((target) => target.split("#")[0]);
  return targets.flatMap((target, i) =>
    names.indexOf(names[i]) === i && names.lastIndexOf(names[i]) > i ? [names[i], target] : [target],
  );
}

async function refresh() {
  const faults = await ask("GET").catch(() => undefined);
  // No answer now is no reason to take the switches away.
  if (faults === undefined) return;
  $("faults-open").hidden = !faults;
  if (!faults) return;
  const active = faults.Active ?? [];
  $("faults-open").dataset.active = String(active.length);
  $("faults-open").setAttribute("aria-label", active.length ? `Faults, ${active.length} active` : "Faults");
  const select = $("fault-target");
  const targets = withWholeServices(faults.Targets ?? []);
  if ([...select.options].map((option) => option.value).join("\n") !== targets.join("\n")) {
    const kept = select.value;
    morphChildren(
      select,
      targets.map((target) => h("option", { value: target }, target.includes("#") ? target : `${target} (all)`)),
    );
    select.value = targets.includes(kept)
      ? kept
      : (targets.find((target) => target.includes("cache#")) ?? targets[0] ?? "");
  }
  morphChildren(
    $("fault-list"),
    active.length ? active.map(row) : [h("li", { class: "quiet" }, "None is active.")],
  );
}

function row(fault) {
  const spec = specOf(fault);
  const words =
    { errors: "answers errors", latency: "answers late", hang: "does not answer" }[fault.Kind] ?? fault.Kind;
  return h(
    "li",
    { "data-key": spec, "data-fault": spec },
    h("span", { class: "two" }, h("b", {}, fault.Target), h("small", {}, `${words}: ${fault.Value}`)),
    h(
      "button",
      { type: "button", "aria-label": `Switch off ${spec}`, onclick: () => change("DELETE", spec) },
      "Off",
    ),
  );
}

async function change(method, spec) {
  const note = $("fault-note");
  note.textContent = "";
  try {
    await ask(method, { Spec: spec });
    note.textContent = method === "PUT" ? `Switched on: ${spec}` : `Switched off: ${spec}`;
    note.dataset.state = "ok";
  } catch (error) {
    note.textContent = error instanceof TypeError ? "The agent does not answer." : error.message;
    note.dataset.state = "error";
  }
  await refresh();
}

export function openFaults(open) {
  $("faults").hidden = !open;
  $("faults-open").setAttribute("aria-expanded", String(open));
  dispatchEvent(new Event("faults"));
  if (open) {
    refresh();
    $("fault-target").focus();
  } else $("faults-open").focus();
}

export async function startFaults() {
  $("faults-open").onclick = () => openFaults($("faults").hidden);
  const form = $("fault-form");
  form.addEventListener("change", (event) => {
    if (event.target.name !== "kind") return;
    const { label, value } = KINDS[event.target.value];
    $("fault-value-label").textContent = label;
    $("fault-value").value = value;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const kind = form.elements.kind.value;
    change("PUT", `${kind}:${$("fault-target").value}:${$("fault-value").value.trim()}`);
  });
  await refresh();
  // Faults also come from the command line; without the switches there is nothing to follow.
  if (!$("faults-open").hidden)
    setInterval(() => {
      if (!document.hidden) refresh();
    }, LOOK_EVERY);
}
