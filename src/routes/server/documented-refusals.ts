import type { OpenAPIHono } from '@hono/zod-openapi';
import { isProbe, type Operation, permissions } from './permissions.ts';

export type OpenApiDocument = ReturnType<OpenAPIHono['getOpenAPI31Document']>;
type PathItem = NonNullable<OpenApiDocument['paths']>[string];
type Route = NonNullable<PathItem['get']>;

/** Tag of routes whose refusals are pages for those who look at them with a browser. */
export const PAGES = 'pages';
/** Tag of routes that answer with the status 200 whatever they have to say. */
export const ALWAYS_200 = 'binderhub';

export const METHODS = ['get', 'options', 'post', 'put', 'patch', 'delete'] as const;

const RETRY_AFTER = { 'Retry-After': { schema: { type: 'string' as const }, description: 'Seconds.' } };

/**
 * Adds to every operation the refusals of what stands before its handler, so that no route can forget them: of the path, of
 * the body's length, of the caller, of too many calls, of parameters and bodies. What a route says itself is left.
 */
export function documentRefusals(document: OpenApiDocument): void {
  for (const item of Object.values(document.paths ?? {})) {
    for (const method of METHODS) {
      const route = item[method];
      if (route === undefined) continue;
      const refusals = Object.entries(refusalsOf(route)).map(([status, description]) => [
        status,
        {
          description,
          ...(status === '429' || status === '503' ? { headers: RETRY_AFTER } : {}),
          content: contentOf(route),
        },
      ]);
      route.responses = { ...Object.fromEntries(refusals), ...route.responses } as NonNullable<Route['responses']>;
    }
  }
}

function refusalsOf(route: Route): Record<string, string> {
  const operation = route.operationId as Operation;
  const hasBody = route.requestBody !== undefined;
  const isRead = hasBody || (route.parameters ?? []).length > 0;
  return {
    400: 'The path is not percent-encoded UTF-8',
    413: 'The body is too large',
    ...(route.tags?.includes(ALWAYS_200) === true
      ? {}
      : {
          ...(isRead ? { 422: 'The request is not valid' } : {}),
          ...(hasBody ? { 415: 'The body is of another type' } : {}),
          ...(isProbe(operation) ? {} : { 429: 'Too many requests' }),
          ...(permissions[operation] === 'open'
            ? {}
            : {
                401: 'No valid credential',
                403: 'Not allowed',
                502: 'Who knows the caller does not answer',
                503: 'The cluster has not been read yet, or nobody can say who calls',
              }),
        }),
  };
}

function contentOf({ tags }: Route) {
  const json = { 'application/json': { schema: { $ref: '#/components/schemas/ErrorBody' } } };
  return tags?.includes(PAGES) === true ? { ...json, 'text/html': { schema: { type: 'string' as const } } } : json;
}
