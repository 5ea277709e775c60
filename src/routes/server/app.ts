import { OpenAPIHono } from '@hono/zod-openapi';
import { trustedPeers } from '../../auth/proxy/trusted-peers.ts';
import { type Config, resolveQuota } from '../../config/index.ts';
import { warmthBy } from '../../domain/image/prepull/view.ts';
import { accountRoutes } from '../pages/account.ts';
import { auditTrail } from './audit.ts';
import { binderRoutes } from '../binder/binder.ts';
import { buildRoutes } from '../builds/builds.ts';
import { ConfiguredImages } from '../../reconcile/images/configured-images.ts';
import type { AppEnv, CallLimits } from './context.ts';
import type { AppDeps, WithImages } from './deps.ts';
import { discoveryRoute } from '../labs/discovery.ts';
import { documentRefusals, type OpenApiDocument } from './documented-refusals.ts';
import { documentOptions } from '../labs/documented-options.ts';
import { answerUnrouted, handleError, refuseInvalid } from './errors.ts';
import { keyRoutes } from '../process/jwks.ts';
import { getLabForm } from '../labs/lab-contract.ts';
import { imageRoutes } from '../images/images.ts';
import { imageNodeRoutes, prepullRoutes } from '../images/prepulls.ts';
import { labForm } from '../labs/lab-form.ts';
import { FORM_HANDLERS } from '../labs/lab-form-parts.ts';
import { LAB_FORM_STYLE } from '../labs/lab-form-style.ts';
import { labRoutes } from '../labs/labs.ts';
import { offeringConfig } from '../labs/offered-config.ts';
import { loginRoutes } from '../pages/login.ts';
import { callLimits, limitUnrouted } from './requests/rate-limit.ts';
import { limitDeclaredBody } from './requests/request-limits.ts';
import { readablePath, requestScope } from './requests/request-scope.ts';
import { pageHeaders } from './security-headers.ts';
import {
  documentHead,
  documentRoutes,
  indexRoute,
  prefixDocument,
  processRoutes,
  rootDocument,
} from '../process/service.ts';

export type { AppDeps } from './deps.ts';

/**
 * The whole HTTP side, made of values: nothing is read from the environment and nothing is opened, so a test calls it
 * with `app.request()`.
 */
export function createApp(given: AppDeps): OpenAPIHono<AppEnv> {
  const deps: WithImages = { ...given, images: given.images ?? new ConfiguredImages(given.config) };
  const { config, identification, logger, signing } = deps;
  const { pathPrefix } = config;
  const app = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid, getPath: rawPath });
  const isTrusted = trustedBy(config);
  const limits = deps.callLimits ?? limitCalls(config);
  app.use(
    requestScope(logger, identification.providers, limits),
    auditTrail(logger, isTrusted),
    limitDeclaredBody(config.limits.bodySize),
    readablePath,
    limitUnrouted,
  );
  app.onError(handleError);
  app.notFound((c) => answerUnrouted(app, c));

  const document = once(() => {
    const made = app.getOpenAPI31Document(documentHead(deps));
    documentRefusals(made);
    documentOptions(made, config);
    return made;
  });
  // Below the prefix, or at the root where there is none.
  const root = pathPrefix || '/';
  app.route('/', processRoutes(deps));
  app.route('/', documentRoutes(rootDocument, document));
  if (pathPrefix !== '') {
    app.route(pathPrefix, indexRoute(deps));
    app.route(pathPrefix, documentRoutes(prefixDocument, document));
  }
  app.route(`${pathPrefix}/spawner/v1`, labRoutes(deps, isTrusted));
  app.route(`${pathPrefix}/spawner/v1`, formRoute(deps));
  app.route(`${pathPrefix}/spawner/v1`, imageRoutes(deps));
  app.route(`${pathPrefix}/spawner/v1`, prepullRoutes(deps));
  app.route(`${pathPrefix}/images/v1`, imageNodeRoutes(deps));
  app.route(`${pathPrefix}/builds/v1`, buildRoutes(deps, isTrusted));
  app.route(root, binderRoutes(deps));
  app.route(root, discoveryRoute(config));
  app.route(root, keyRoutes({ config, signing }));
  app.route(root, loginRoutes({ config, people: identification.people }));
  app.route(root, accountRoutes({ labs: deps.labs, config, people: identification.people }));
  app.openAPIRegistry.registerComponent('securitySchemes', 'token', { type: 'http', scheme: 'bearer' });
  return app;
}

/** The account of what callers take, for one app or for those that follow each other. */
export function limitCalls(config: Config): CallLimits {
  return callLimits({ limits: config.limits, isTrusted: trustedBy(config) });
}

/** Whether an address may say for whom it speaks. */
function trustedBy({ auth }: Config): (address: string | undefined) => boolean {
  return trustedPeers(auth.proxyHeaders?.trustedAddresses ?? []);
}

function formRoute(deps: WithImages): OpenAPIHono<AppEnv> {
  const { config, images, prepull } = deps;
  const { users } = deps.identification;
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  const headers = pageHeaders({ style: LAB_FORM_STYLE, handlers: FORM_HANDLERS });
  const offering = offeringConfig(config, () => images.offered());
  return routes.openapi(getLabForm, async (c) => {
    const user = await users.find(c.req.valid('param').username, c.var.identity);
    const { last } = c.req.valid('query');
    return c.body(
      labForm(offering(), { quota: resolveQuota(config, user), user, last, warmth: warmthBy(prepull) }),
      200,
      headers,
    );
  });
}

/**
 * The path as it was sent. The framework's own way decodes parts of it before it looks for a route, and once more when a
 * parameter is read; names may contain a percent sign, so they are decoded exactly once.
 */
function rawPath(request: Request): string {
  const { url } = request;
  const start = url.indexOf('/', url.indexOf('://') + 3);
  const end = url.slice(start).search(/[?#]/);
  return end < 0 ? url.slice(start) : url.slice(start, start + end);
}

function once(make: () => OpenApiDocument): () => OpenApiDocument {
  let made: OpenApiDocument | undefined;
  return () => (made ??= make());
}
