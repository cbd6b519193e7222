// Every Flux query of the pages, dashboards and alert rules by InfluxData's own parser and type
// checker, and the dashboards against the types of Grafana's schema.
//
//   node --experimental-wasm-modules dashboards.mjs PROJECT, beside a `node_modules`
import fs from "node:fs";
import path from "node:path";

const docs = path.join(process.argv[2], "docs");
const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const read = (file) => fs.readFileSync(path.join(docs, file), "utf8");
const files = (folder, end) => fs.readdirSync(path.join(docs, folder))
  .filter((file) => file.endsWith(end)).map((file) => path.join(folder, file));
let wrong = 0;
const complain = (text) => { wrong += 1; console.log(text); };

// The package is made for bundlers and has no type of its own.
const parser = path.join(here, "parser");
fs.cpSync(path.join(here, "node_modules/@influxdata/flux-lsp-browser"), parser, { recursive: true });
fs.writeFileSync(path.join(parser, "package.json"), '{"type": "module"}');
const { Flux } = await import(path.join(parser, "flux-lsp-browser_bg.js"));

const VARIABLES =
  'option v = {defaultBucket: "monitoring", timeRangeStart: -1h, timeRangeStop: now(), windowPeriod: 1m}\n';
let queries = 0;
const check = (name, query) => {
  queries += 1;
  const filled = query.replaceAll("${service:regex}", ".*").replaceAll("${route:regex}", ".*");
  const imports = filled.match(/^(\s*import .*\n)+/)?.[0] ?? "";
  if (!new Flux(imports + VARIABLES + filled.slice(imports.length)).is_valid()) {
    complain(`${name}: not valid Flux:\n${query}`);
  }
};
// What the checker must find, or it finds nothing.
for (const bad of ["from(bucket: 1)", 'from(bucket: "a") |> rang(start: -1h)', "from(bucket:"]) {
  if (new Flux(bad).is_valid()) complain(`taken for valid Flux: ${bad}`);
}

const dashboards = files("grafana/dashboards", ".json").map((file) => [file, JSON.parse(read(file))]);
for (const [file, dashboard] of dashboards.filter(([file]) => file.endsWith("flux.json"))) {
  for (const panel of dashboard.panels) {
    for (const target of panel.targets ?? []) check(`${file}, ${panel.title}`, target.query);
  }
  for (const variable of dashboard.templating.list) check(`${file}, ${variable.name}`, variable.query);
}
const alerts = [...files("grafana", "flux.json"), ...files("grafana/provisioning/alerting", "flux.json")];
for (const file of alerts) {
  for (const rule of JSON.parse(read(file)).groups[0].rules) {
    for (const { model } of rule.data) if (model.query) check(`${file}, ${rule.title}`, model.query);
  }
}
for (const page of files("", ".md")) {
  const blocks = read(page).split("```").filter((_, place) => place % 2 === 1);
  for (const block of blocks.filter((block) => block.includes("|> range("))) {
    check(page, block.slice(block.indexOf("\n") + 1));
  }
}

const { default: ts } = await import(path.join(here, "node_modules/typescript/lib/typescript.js"));
const types = "node_modules/@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen.d.ts";
fs.copyFileSync(path.join(here, types), path.join(here, "schema.d.ts"));
let source = 'import { Dashboard, Panel, RowPanel, ThresholdsMode } from "./schema";\n';
const literal = (value) => JSON.stringify(value, null, 1).replaceAll('"absolute"', "ThresholdsMode.Absolute");
dashboards.forEach(([file, dashboard], place) => {
  source += `// ${file}\nexport const d${place}: Dashboard = ${literal(dashboard)};\n`;
  // Each by itself, since a key that no kind of panel has is found only where the kind is known.
  dashboard.panels.forEach((panel, number) => {
    const kind = panel.type === "row" ? "RowPanel" : "Panel";
    source += `export const d${place}p${number}: ${kind} = ${literal({ ...panel, targets: undefined })};\n`;
  });
});
const program = path.join(here, "dashboards.ts");
fs.writeFileSync(program, source);
const options = { noEmit: true, strict: true, skipLibCheck: true, types: [] };
for (const found of ts.getPreEmitDiagnostics(ts.createProgram([program], options))) {
  const { line } = found.file?.getLineAndCharacterOfPosition(found.start) ?? { line: 0 };
  const text = ts.flattenDiagnosticMessageText(found.messageText, "\n");
  complain(`dashboards.ts:${line + 1}: ${text}: ${source.split("\n")[line]}`);
}

console.log(`${queries} Flux queries and ${dashboards.length} dashboards, ${wrong} complaints`);
process.exit(wrong > 0 || queries < 50 ? 1 : 0);
