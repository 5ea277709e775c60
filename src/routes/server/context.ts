import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { Logger } from 'pino';
import type { AuthRequest, Identity } from '../../auth/identity.ts';

/** What a handler finds in its context: values of this one request. Services reach it as arguments instead. */
export interface AppEnv {
  /** Node's own objects; absent in tests that call the app without a socket. */
  Bindings: Partial<HttpBindings>;
  Variables: {
    requestId: string;
    logger: Logger;
    /** Finds out who is calling; the routes that need to know ask through `authorize`. */
    identify: () => Promise<Identity>;
    /** Who is calling; set by `authorize`. */
    identity: Identity;
    /** Whose credential it is, admitted or not; set as soon as it is known. */
    caller: Identity;
    /** What the request is about, and whose names are in its path; set once a route is found. */
    action: { readonly operation: string; readonly username?: string; readonly server?: string };
    /** What the answer would have had as its status, where its readers know no other than 200. */
    outcome: number;
    limits: CallLimits;
    /** Most bytes of a body. */
    bodySize: number;
    /** The request is one of a flood: no line at `info` about it. */
    isQuiet: boolean;
  };
}

export type AppContext = Context<AppEnv>;

/** What callers may take. In memory, each thing with a bound; it holds no timers and needs no closing. */
export interface CallLimits {
  /**
   * Runs the identification. Before it, the address must not have had too many credentials refused; after it, the caller
   * must not have called too often.
   *
   * @throws {LabwrightError} `too_many_requests` (429), and what `ask` throws
   */
  identify(c: AppContext, ask: () => Promise<Identity>): Promise<Identity>;
  /**
   * Counts a request that needs no credential, by its address.
   *
   * @throws {LabwrightError} `too_many_requests` (429)
   */
  anonymous(c: AppContext): void;
  /**
   * Counts an event stream.
   *
   * @returns what gives its place back; may be called more than once
   * @throws {LabwrightError} `too_many_requests` (429)
   */
  openStream(identity: Identity): () => void;
}

/** Address of the socket's other end; undefined where there is no socket. */
export function remoteAddress(c: AppContext): string | undefined {
  return nodeRequest(c)?.socket.remoteAddress;
}

/**
 * Every value of a header, one entry for each time it was sent. The standard `Headers` join or drop repetitions, and
 * for a header that names a user neither will do.
 */
export function headerValues(c: AppContext, name: string): readonly string[] {
  const distinct = nodeRequest(c)?.headersDistinct;
  if (distinct !== undefined) return distinct[name] ?? [];
  const value = c.req.header(name);
  return value === undefined ? [] : [value];
}

/** A request, as those who tell who is calling see it. */
export function authRequest(c: AppContext): AuthRequest {
  return { method: c.req.method, headers: (name) => headerValues(c, name), remoteAddress: remoteAddress(c) };
}

function nodeRequest(c: AppContext): HttpBindings['incoming'] | undefined {
  // Hono's `app.request()` hands no bindings over at all.
  return (c.env as Partial<HttpBindings> | undefined)?.incoming;
}
