// Shows the OpenAPI document of the node that served this page, and sends requests to that node.
"use strict";

const maxDepth = 5; // of schemas within schemas
const streamLines = 5; // of a stream shown before it is closed

let api;

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== undefined && child !== ""));
  return node;
}

function resolve(schema) {
  if (!schema || !schema.$ref) return schema || {};
  return api.definitions[schema.$ref.replace("#/definitions/", "")] || {};
}

// An example of a schema: its fields with their types as values.
function example(schema, depth = 0) {
  const found = resolve(schema);
  if (depth > maxDepth) return "…";
  if (found.properties) {
    const fields = Object.entries(found.properties);
    return Object.fromEntries(fields.map(([name, field]) => [name, example(field, depth + 1)]));
  }
  if (found.type === "array") return [example(found.items, depth + 1)];
  if (found.enum) return found.enum.join(" | ");
  if (found.type === "object") return {};
  return found.format ? `${found.type} (${found.format})` : found.type || "any";
}

// The fields of a schema and of those within it, with their descriptions.
function fieldRows(schema, prefix = "", depth = 0) {
  const found = resolve(schema);
  if (depth > maxDepth) return [];
  if (found.type === "array") return fieldRows(found.items, prefix.replace(/\.$/, "[]."), depth);
  return Object.entries(found.properties || {}).flatMap(([name, field]) => {
    const target = resolve(field);
    const text = [field.title, field.description].filter(Boolean).join("\n")
      || [target.title, target.description].filter(Boolean).join("\n");
    const row = element("tr", {}, element("td", {}, element("code", {}, prefix + name)), element("td", { class: "text" }, text));
    return [row, ...fieldRows(field, `${prefix}${name}.`, depth + 1)];
  });
}

function schemaBlock(title, schema) {
  const rows = fieldRows(schema);
  return element("details", {},
    element("summary", {}, title),
    element("pre", {}, JSON.stringify(example(schema), null, 2)),
    rows.length ? element("table", {}, ...rows) : "");
}

// A request body to start from: empty values of the right kinds.
function blank(schema, depth = 0) {
  const found = resolve(schema);
  if (depth > maxDepth) return null;
  if (found.properties) {
    return Object.fromEntries(Object.entries(found.properties).map(([name, field]) => [name, blank(field, depth + 1)]));
  }
  if (found.type === "array") return [blank(found.items, depth + 1)];
  if (found.format === "uint64" || found.format === "int64") return "0";
  if (found.type === "boolean") return false;
  if (found.type === "integer" || found.type === "number") return 0;
  return "";
}

async function readLines(response, output) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let chunk = await reader.read();
  while (!chunk.done) {
    text += chunk.value;
    output.textContent = text;
    if (text.split("\n").length > streamLines) {
      output.textContent += `… closed after ${streamLines} lines`;
      await reader.cancel();
      return;
    }
    chunk = await reader.read();
  }
}

async function send(verb, path, inputs, body, output) {
  let target = path;
  const query = new URLSearchParams();
  for (const [parameter, input] of inputs) {
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.set(parameter.name, input.value);
  }
  const url = target.replace(/^\//, "") + (query.size ? `?${query}` : "");
  const options = { method: verb.toUpperCase() };
  if (body) {
    options.body = body.value;
    options.headers = { "Content-Type": "application/json" };
  }
  output.textContent = "…";
  try {
    const response = await fetch(url, options);
    if ((response.headers.get("Content-Type") || "").includes("ndjson")) {
      await readLines(response, output);
      return;
    }
    const text = await response.text();
    let shown = text;
    try {
      shown = JSON.stringify(JSON.parse(text), null, 2);
    } catch { /* shown as it came */ }
    output.textContent = `${response.status} ${response.statusText}\n${shown}`;
  } catch (error) {
    output.textContent = String(error);
  }
}

function operationBlock(path, verb, operation) {
  const parameters = (operation.parameters || []).filter((parameter) => parameter.in !== "body");
  const bodyParameter = (operation.parameters || []).find((parameter) => parameter.in === "body");
  const inputs = parameters.map((parameter) => [parameter, element("input", { "aria-label": parameter.name })]);
  const rows = inputs.map(([parameter, input]) => element("tr", {},
    element("td", {}, element("code", {}, parameter.name)),
    element("td", {}, input),
    element("td", { class: "text" }, parameter.description || "")));
  const body = bodyParameter ? element("textarea", { "aria-label": "request body", spellcheck: "false" }) : undefined;
  if (body) body.value = JSON.stringify(blank(bodyParameter.schema), null, 2);
  const output = element("pre", { hidden: "" });
  const button = element("button", { type: "button" }, "Send");
  button.addEventListener("click", () => {
    output.hidden = false;
    send(verb, path, inputs, body, output);
  });
  const answer = ((operation.responses || {})["200"] || {}).schema;
  return element("details", { class: "operation" },
    element("summary", {},
      element("span", { class: "verb" }, verb.toUpperCase()),
      element("code", {}, path),
      element("span", { class: "brief" }, operation.summary || "")),
    element("div", {},
      element("p", { class: "text" }, operation.description || ""),
      rows.length ? element("table", {}, ...rows) : "",
      bodyParameter ? schemaBlock("Request", bodyParameter.schema) : "",
      answer ? schemaBlock("Answer", answer) : "",
      body, button, output));
}

async function show() {
  const main = document.getElementById("operations");
  try {
    const response = await fetch("openapi.json");
    if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
    api = await response.json();
    document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
    document.getElementById("about").textContent = api.info.description || "";
    const sections = api.tags.map((tag) => element("section", {},
      element("h2", {}, tag.name),
      element("p", { class: "text" }, tag.description || ""),
      ...Object.entries(api.paths).flatMap(([path, verbs]) => Object.entries(verbs)
        .filter(([, operation]) => operation.tags.includes(tag.name))
        .map(([verb, operation]) => operationBlock(path, verb, operation)))));
    main.replaceChildren(...sections);
  } catch (error) {
    main.replaceChildren(element("p", {}, `The API description cannot be shown: ${error}`));
  }
}

show();
