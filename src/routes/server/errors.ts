import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { LabwrightError } from '../../domain/errors.ts';
import { IDENTITY_NAME, IDENTITY_NAME_BYTES, isIdentityName } from '../../domain/user/identity-name.ts';
import type { AppContext, AppEnv } from './context.ts';

/** Most errors one answer lists: a body with a million faults gets no longer answer than one with a few. */
const DETAILS_LIMIT = 20;
/** What Pydantic calls a fault that zod calls otherwise. The one union there is stands for a boolean. */
const PYDANTIC_TYPES: Readonly<Record<string, string>> = {
  invalid_union: 'bool_parsing',
  invalid_value: 'enum',
  too_big: 'string_too_long',
};
const NO_NAME = 'Value error, not a name';
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

const ErrorDetail = z
  .object({
    msg: z.string().meta({ description: 'One sentence for people.' }),
    type: z.string().meta({ description: 'Stable word for programs.', example: 'lab_exists' }),
    loc: z
      .array(z.string())
      .optional()
      .meta({ description: 'Where in the request the fault is.', example: ['body', 'options', 'size'] }),
  })
  .meta({ id: 'ErrorDetail' });

/** The one shape of every error. */
export const ErrorBody = z.object({ detail: z.array(ErrorDetail) }).meta({ id: 'ErrorBody' });
export type ErrorBody = z.output<typeof ErrorBody>;
type ErrorDetail = z.output<typeof ErrorDetail>;

/** A refusal by a schema, with the word that FastAPI's validation would use for it. */
export function refusal(message: string, path?: readonly string[]) {
  return {
    code: 'custom' as const,
    message: `Value error, ${message}`,
    params: { type: 'value_error' },
    ...(path === undefined ? {} : { path: [...path] }),
  };
}

/** An error option for a schema that tells a missing value from a wrong one, in FastAPI's words. */
export function expecting(what: string): { error: (issue: { input?: unknown }) => string } {
  return { error: (issue) => (issue.input === undefined ? 'Field required' : `Input should be ${what}`) };
}

/** A name of a user or of a named server. */
export const identityName = z
  .string(expecting('a valid string'))
  .max(IDENTITY_NAME_BYTES, { error: NO_NAME, abort: true })
  .regex(IDENTITY_NAME, { error: NO_NAME, abort: true })
  .refine(isIdentityName, { error: NO_NAME });

type ValidationResult = { success: true } | { success: false; target: string; error: z.core.$ZodError };

/**
 * The answer to a request that does not fit its schema, for `defaultHook`. It names the fields and what was expected of
 * them, never what was in them: that may be somebody's token.
 */
export function refuseInvalid(result: ValidationResult, c: AppContext): Response | undefined {
  if (result.success) return undefined;
  const source = { json: 'body', param: 'path' }[result.target] ?? result.target;
  const detail = result.error.issues.slice(0, DETAILS_LIMIT).map((issue) => ({
    type: typeOf(issue),
    loc: [source, ...issue.path.map(String)],
    msg: issue.message,
  }));
  return c.json({ detail }, 422);
}

function typeOf(issue: z.core.$ZodIssue): string {
  if (issue.message.startsWith('Value error, ') && issue.code !== 'custom') return 'value_error';
  if (issue.message === 'Field required') return 'missing';
  if (issue.code === 'invalid_type') return issue.expected === 'string' ? 'string_type' : 'dict_type';
  if (issue.code === 'custom') return typeof issue.params?.type === 'string' ? issue.params.type : 'value_error';
  return PYDANTIC_TYPES[issue.code] ?? issue.code;
}

/** Turns whatever was thrown into an answer. What is not meant for the caller is logged and not told. */
export function handleError(error: unknown, c: AppContext): Response {
  if (error instanceof LabwrightError) return answerLabwrightError(error, c);
  if (error instanceof HTTPException && error.status < 500) return answerHttpException(error, c);
  if (c.req.raw.signal.aborted) return answer(c, 400, { msg: 'The request was not received', type: 'invalid_request' });
  c.var.logger.error({ err: error }, 'request failed');
  return answer(c, 500, { msg: 'Internal error', type: 'internal_error' });
}

function answerLabwrightError(error: LabwrightError, c: AppContext): Response {
  // One without a cause says all there is to say: a probe that asks again every few seconds would fill the log.
  if (error.status >= 500 && error.cause !== undefined) c.var.logger.warn({ err: error }, 'request refused');
  if (error.status === 401) c.header('WWW-Authenticate', 'Bearer realm="labwright"');
  if (error.retryAfter !== undefined) c.header('Retry-After', String(error.retryAfter));
  const { code: type, message: msg, loc } = error;
  return answer(c, error.status, { msg, type, ...(loc === undefined ? {} : { loc: [...loc] }) });
}

/** What the framework itself refuses: a body that is no JSON, and one of another type. */
function answerHttpException(error: HTTPException, c: AppContext): Response {
  if (error.status === 415) {
    return answer(c, 415, { msg: 'The body must be application/json', type: 'unsupported_media_type' });
  }
  if (error.status === 400) return answer(c, 422, { type: 'json_invalid', loc: ['body'], msg: 'JSON decode error' });
  return answer(c, error.status, { msg: 'The request is not valid', type: 'invalid_request' });
}

/** The answer where no route matches: the methods there are, the address without its last slash, or nothing. */
export function answerUnrouted(app: OpenAPIHono<AppEnv>, c: AppContext): Response {
  const { path } = c.req;
  const allowed = methodsOf(app, path);
  if (allowed.length > 0) {
    c.header('Allow', allowed.join(', '));
    return answer(c, 405, { msg: 'Method Not Allowed', type: 'method_not_allowed' });
  }
  const shorter = path.replace(/\/$/, '');
  if (shorter !== path && methodsOf(app, shorter).length > 0) {
    return c.redirect(`${shorter}${new URL(c.req.url).search}`, 307);
  }
  return answer(c, 404, { msg: 'Not Found', type: 'not_found' });
}

/** The methods that some route at this path takes. */
export function methodsOf(app: OpenAPIHono<AppEnv>, path: string): string[] {
  return METHODS.filter((method) => app.router.match(method, path)[0].some(([[, route]]) => route.method === method));
}

function answer(c: AppContext, status: number, detail: ErrorDetail): Response {
  return c.json({ detail: [detail] }, status as ContentfulStatusCode);
}
