import type { MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { Identity, Role } from '../../auth/identity.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { AppContext, AppEnv } from './context.ts';
import { limitAddress } from './requests/rate-limit.ts';

/** `own`: only what belongs to the caller; `any`: everybody's. */
export type Access = 'own' | 'any';
/** The roles a route admits; a role that is not named is refused. `open` needs no credential. */
export type Permission = 'open' | Readonly<Partial<Record<Role, Access>>>;

/**
 * Who may do what: every route of the program by its operation id. A route that is not in this table cannot be written
 * down, since `secured` and `open` are the only ways to make one.
 */
export const permissions = {
  getMetadata: 'open',
  getIndex: 'open',
  getHealth: 'open',
  getReadiness: 'open',
  getOpenApi: 'open',
  getDocs: 'open',
  getPrefixOpenApi: 'open',
  getPrefixDocs: 'open',
  getDiscovery: 'open',

  getJwks: 'open',
  getIssuer: 'open',

  // The way to a credential, and out of it: a session that is over or that the hub has revoked can still be left.
  logIn: 'open',
  finishLogin: 'open',
  logOut: 'open',

  listLabs: { hub: 'any', admin: 'any' },
  getLab: { user: 'own', hub: 'any', admin: 'any' },
  createLab: { user: 'own', hub: 'any', admin: 'any' },
  deleteLab: { user: 'own', hub: 'any', admin: 'any' },
  followLab: { user: 'own', hub: 'any', admin: 'any' },
  getServer: { user: 'own', hub: 'any', admin: 'any' },
  createServer: { user: 'own', hub: 'any', admin: 'any' },
  deleteServer: { user: 'own', hub: 'any', admin: 'any' },
  followServer: { user: 'own', hub: 'any', admin: 'any' },
  getUserStatus: { user: 'own', admin: 'own' },
  listImages: { admin: 'any' },
  getLabForm: { user: 'own', hub: 'any', admin: 'any' },
  // What nodes are called and what they lack is for administrators.
  getPrepulls: { admin: 'any' },
  getImageNodes: { admin: 'any' },
  // A user lists and cancels what is the user's own, and may look at any build whose id the user has: see routes/builds/builds.ts.
  listBuilds: { user: 'own', hub: 'any', admin: 'any' },
  createBuild: { user: 'own', hub: 'any', admin: 'any' },
  getBuild: { user: 'own', hub: 'any', admin: 'any' },
  cancelBuild: { user: 'own', hub: 'any', admin: 'any' },
  followBuild: { user: 'own', hub: 'any', admin: 'any' },
  getBuildLog: { user: 'own', hub: 'any', admin: 'any' },
  streamBuild: { user: 'own', hub: 'any', admin: 'any' },
  preflightBuild: 'open',
  getAccount: { user: 'own', hub: 'own', admin: 'own' },
  stopOwnLab: { user: 'own', hub: 'own', admin: 'own' },
} as const satisfies Record<string, Permission>;

export type Operation = keyof typeof permissions;
/** What changes something for somebody: each gets a line in the audit log, done or not. */
export const audited: ReadonlySet<string> = new Set<Operation>([
  'createLab',
  'deleteLab',
  'createServer',
  'deleteServer',
  'stopOwnLab',
  'createBuild',
  'cancelBuild',
  'streamBuild',
]);
export type OpenOperation = {
  [Name in Operation]: (typeof permissions)[Name] extends 'open' ? Name : never;
}[Operation];
export type SecuredOperation = Exclude<Operation, OpenOperation>;

/** Never limited: a pod whose probes are refused during a flood from their address is restarted by the kubelet. */
const probes: ReadonlySet<OpenOperation> = new Set(['getHealth', 'getReadiness']);

export function isProbe(operation: Operation): boolean {
  return (probes as ReadonlySet<Operation>).has(operation);
}

/** Parts of a route that anybody may call: so often from one address, unless it is a probe. */
export function open(operation: OpenOperation) {
  const begin = createMiddleware<AppEnv>(async function opened(c, next) {
    nameAction(c, operation);
    await next();
  });
  const limits = isProbe(operation) ? [] : [limitAddress];
  return { operationId: operation, middleware: [begin, ...limits] as MiddlewareHandler<AppEnv>[] };
}

/**
 * Parts of a route that asks who is calling, before it looks at anything else of the request.
 *
 * @param middleware further middleware, which runs for callers that are admitted
 */
export function secured(operation: SecuredOperation, ...middleware: MiddlewareHandler<AppEnv>[]) {
  return {
    operationId: operation,
    security: [{ token: [] }],
    middleware: [authorize(operation), ...middleware] as MiddlewareHandler<AppEnv>[],
  };
}

function authorize(operation: SecuredOperation) {
  const permission: Exclude<Permission, 'open'> = permissions[operation];
  return createMiddleware<AppEnv>(async function authorized(c, next) {
    nameAction(c, operation);
    const identity = await c.var.identify();
    if (!admits(permission, identity, c.req.param('username'))) {
      throw new LabwrightError('permission_denied', 403, 'Permission denied');
    }
    c.set('identity', identity);
    await next();
  });
}

/** Says what the request is about; only here the router knows the names in the path. */
function nameAction(c: AppContext, operation: Operation): void {
  const { username, server } = c.req.param() as Partial<Record<string, string>>;
  c.set('action', {
    operation,
    ...(username === undefined ? {} : { username }),
    ...(server === undefined ? {} : { server }),
  });
}

/** @param username whose things the request is about; undefined when the route is about the caller or about everybody */
function admits(permission: Exclude<Permission, 'open'>, identity: Identity, username: string | undefined): boolean {
  const access = permission[identity.role];
  if (access === undefined) return false;
  if (access === 'any') return true;
  return identity.username !== null && (username === undefined || username === identity.username);
}
