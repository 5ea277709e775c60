import { Html, markup } from '../pages/html.ts';
import { METHODS, type OpenApiDocument } from '../server/documented-refusals.ts';

type Path = NonNullable<OpenApiDocument['paths']>[string];
type Route = NonNullable<Path['get']>;
type Content = Readonly<Record<string, { readonly schema?: unknown }>>;

export const DOCS_STYLE = `
:root { color-scheme: light dark; }
body {
  background: light-dark(#fff, #12161b); color: light-dark(#1f2328, #e6e9ec); margin: 2.5rem auto; max-width: 58rem;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; padding: 0 1.25rem;
}
h1 { margin-bottom: 0; }
h2 { margin-top: 2.5rem; }
.lead, .quiet { color: light-dark(#5c6670, #9aa4af); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, monospace; font-size: .86em; overflow-wrap: anywhere; }
pre { background: light-dark(#f6f7f9, #1c2128); border-radius: .4rem; overflow-x: auto; padding: .8rem 1rem; }
details { border: 1px solid light-dark(#d5d9de, #3d444d); border-radius: .5rem; margin: .5rem 0; }
summary { align-items: baseline; cursor: pointer; display: flex; flex-wrap: wrap; gap: .2rem .8rem; padding: .55rem .9rem; }
summary:hover { background: light-dark(#f6f7f9, #1c2128); }
.method { font-weight: 600; min-width: 4rem; text-transform: uppercase; }
.get { color: light-dark(#0a66c2, #6cb2ff); } .post { color: light-dark(#14804a, #56d38f); }
.delete { color: light-dark(#b42318, #ff8a80); }
.body { border-top: 1px solid light-dark(#d5d9de, #3d444d); padding: .3rem .9rem .9rem; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid light-dark(#eceff2, #2a313a); padding: .3rem .8rem .3rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; width: 1%; }
h3 { font-size: .95rem; margin: 1rem 0 .3rem; }
`;

/** An OpenAPI document as a page that needs no script and nothing from anywhere else. */
export function docsPage(document: OpenApiDocument): string {
  const { title, version, description } = document.info;
  return markup`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} API</title><style>${new Html(DOCS_STYLE)}</style></head>
<body>
<h1>${title} API</h1>
<p class="lead">${description ?? ''}. Version ${version}. <a href="openapi.json">openapi.json</a></p>
<p>Routes marked with a key need <code>Authorization: Bearer …</code>.</p>
<h2>Routes</h2>
${Object.entries(document.paths ?? {}).flatMap(([path, item]) => routesOf(path, item))}
<h2>Schemas</h2>
${Object.entries(document.components?.schemas ?? {}).map(
  ([name, schema]) =>
    markup`<details id="${name}"><summary><code>${name}</code></summary><div class="body">${source(schema)}</div></details>
`,
)}</body>
</html>
`.text;
}

function routesOf(path: string, item: Path): Html[] {
  return METHODS.flatMap((method) => {
    const route = item[method];
    return route === undefined ? [] : [routeDetails(method, path, route)];
  });
}

function routeDetails(method: string, path: string, route: Route): Html {
  const body = route.requestBody as { content?: Content } | undefined;
  return markup`<details><summary><span class="method ${method}">${method}</span><code>${path}</code>
<span class="quiet">${route.summary ?? ''}${route.security === undefined ? '' : ' 🔑'}</span></summary><div class="body">
${route.description === undefined ? null : markup`<p>${route.description}</p>`}
${parameters(route)}
${body === undefined ? null : markup`<h3>Body</h3>${contents(body.content)}`}
<h3>Answers</h3><table>
${Object.entries(route.responses as Record<string, { description: string; content?: Content }>).map(
  ([status, answer]) =>
    markup`<tr><td><code>${status}</code></td><td>${answer.description}${contents(answer.content)}</td></tr>
`,
)}</table></div></details>
`;
}

function parameters(route: Route): Html | null {
  const all = (route.parameters ?? []) as readonly { name: string; in: string; description?: string }[];
  if (all.length === 0) return null;
  return markup`<h3>Parameters</h3><table>${all.map(
    (parameter) =>
      markup`<tr><td><code>${parameter.name}</code></td><td>${parameter.in}${
        parameter.description === undefined ? '' : `. ${parameter.description}`
      }</td></tr>`,
  )}</table>`;
}

function contents(content: Content | undefined): Html[] {
  return Object.entries(content ?? {}).map(([type, { schema }]) => {
    const name = (schema as { $ref?: string } | undefined)?.$ref?.split('/').at(-1);
    return name === undefined
      ? markup` <span class="quiet">${type}</span>`
      : markup` <a href="#${name}"><code>${name}</code></a>`;
  });
}

function source(value: unknown): Html {
  return markup`<pre>${JSON.stringify(value, null, 2)}</pre>`;
}
