interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
}

/**
 * Compares answers with what an OpenAPI document says of them.
 *
 * @returns says what of an answer the document does not have: its status, or its type; undefined where it has both, and where
 * it has no such operation
 */
export function undocumented(document: unknown): (method: string, url: string, answer: Response) => string | undefined {
  const operations = Object.entries((document as Document).paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method, operation, pattern: patternOf(path) })),
  );
  return (method, url, answer) => {
    const path = url.replace(/^[a-z]+:\/\/[^/]*|[?#].*$/g, '');
    const found = operations.find((each) => each.method === method.toLowerCase() && each.pattern.test(path));
    if (found === undefined) return undefined;
    const { operationId, responses } = found.operation;
    const response = responses[String(answer.status)];
    if (response === undefined) return `${operationId} answers ${String(answer.status)}`;
    const type = answer.headers.get('content-type')?.split(';')[0];
    if (type === undefined || type in (response.content ?? {})) return undefined;
    return `${operationId} answers ${String(answer.status)} with ${type}`;
  };
}

/** Parts with a name stand for one part of a path; the last of BinderHub's for several. */
function patternOf(path: string): RegExp {
  const pattern = path
    .replaceAll(/[.$]/g, String.raw`\$&`)
    .replaceAll(/\{(\w+)\}/g, (_, name) => (name === 'spec' ? '.+' : '[^/]+'));
  return new RegExp(`^${pattern}$`);
}
