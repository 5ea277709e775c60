import { createRoute, z } from '@hono/zod-openapi';
import type { LabKey } from '../../domain/lab/lab.ts';
import { ErrorBody, identityName } from '../server/errors.ts';
import { LabEventFrame } from './lab-event-stream.ts';
import { DetailedLabState, LabState } from './lab-state.ts';
import { LabRequestOptions, LabSpecification } from './lab-specification.ts';
import { type SecuredOperation, secured } from '../server/permissions.ts';
import { Detail, flagQuery } from '../server/flag-query.ts';
import { limitStreams } from '../server/requests/rate-limit.ts';
import { limitBody } from '../server/requests/request-limits.ts';
import { events, json, page } from '../server/responses.ts';

const username = identityName.meta({ example: 'ada' });
const defaultServer = z.object({ username }).transform(({ username }): LabKey => ({ username, servername: '' }));
const namedServer = z
  .object({ username, server: identityName.meta({ example: 'gpu' }) })
  .transform(({ username, server }): LabKey => ({ username, servername: server }));

const Force = z.object({
  force: flagQuery(
    'force',
    'For administrators: take the pod out of the records of the cluster without waiting for its machine. On a machine that is only cut off it ' +
      'runs on, and writes to its volumes beside the next lab.',
  ),
});

const unknown = { 404: json(ErrorBody, 'No such lab') };

export const listLabs = createRoute({
  ...secured('listLabs'),
  method: 'get',
  path: '/labs',
  summary: 'Users whose lab is running; with `detail`, every lab there is',
  request: { query: Detail },
  responses: { 200: json(z.union([z.array(z.string()), z.array(DetailedLabState)]), 'The labs') },
});

export const getUserStatus = createRoute({
  ...secured('getUserStatus'),
  method: 'get',
  path: '/user-status',
  summary: 'State of the lab of the caller',
  responses: { 200: json(LabState, 'The lab'), ...unknown },
});

/** The four routes of one lab; named servers have the same ones on a longer path. */
function routesOf(
  path: string,
  params: typeof defaultServer | typeof namedServer,
  operations: Record<'get' | 'create' | 'delete' | 'follow', SecuredOperation>,
) {
  return {
    get: createRoute({
      ...secured(operations.get),
      method: 'get',
      path,
      summary: 'State of a lab',
      request: { params, query: Detail },
      responses: { 200: json(z.union([LabState, DetailedLabState]), 'The lab'), ...unknown },
    }),
    create: createRoute({
      ...secured(operations.create, limitBody),
      method: 'post',
      path: `${path}/create`,
      summary: 'Create a lab',
      description: 'When the answer is there the lab will come up; its events tell how it goes.',
      request: { params, body: { required: true, content: { 'application/json': { schema: LabSpecification } } } },
      responses: {
        201: {
          ...json(z.null(), 'Accepted'),
          headers: z.object({ Location: z.string().meta({ description: 'Address of the lab.' }) }),
        },
        400: json(ErrorBody, 'No such image, or the path is not percent-encoded UTF-8'),
        409: json(ErrorBody, 'There is a lab, or an operation on it, or something else has its name'),
      },
    }),
    delete: createRoute({
      ...secured(operations.delete),
      method: 'delete',
      path,
      summary: 'Delete a lab',
      description: 'The answer comes when the lab can be created again.',
      request: { params, query: Force },
      responses: {
        204: { description: 'Gone' },
        500: json(ErrorBody, 'It could not be deleted'),
        ...unknown,
      },
    }),
    follow: createRoute({
      ...secured(operations.follow, limitStreams),
      method: 'get',
      path: `${path}/events`,
      summary: 'Follow what happens to a lab',
      description: 'Events `info`, `error`, `complete` and `failed`; the last two end the stream.',
      request: {
        params,
        headers: z.object({ 'last-event-id': z.string().optional().meta({ description: 'Where to go on.' }) }),
      },
      responses: {
        200: events(LabEventFrame),
        ...unknown,
      },
    }),
  };
}

/** What cannot be read, or is not taken any more, chooses nothing: a form is shown in any case. */
const LastChoice = z.object({
  last: z
    .string()
    .optional()
    .transform((text) => (text === undefined ? undefined : readLast(text)))
    .meta({
      param: { name: 'last', in: 'query' },
      description: 'The options that the last lab was asked for with, as JSON: they are chosen beforehand.',
    }),
});

function readLast(text: string): LabRequestOptions | undefined {
  try {
    return LabRequestOptions.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

export const getLabForm = createRoute({
  ...secured('getLabForm'),
  method: 'get',
  path: '/lab-form/{username}',
  summary: 'The form that asks which lab to start, as a fragment of HTML',
  request: { params: z.object({ username }), query: LastChoice },
  responses: { 200: page('The form') },
});

export const defaultLab = routesOf('/labs/{username}', defaultServer, {
  get: 'getLab',
  create: 'createLab',
  delete: 'deleteLab',
  follow: 'followLab',
});
export const namedLab = routesOf('/labs/{username}/servers/{server}', namedServer, {
  get: 'getServer',
  create: 'createServer',
  delete: 'deleteServer',
  follow: 'followServer',
});
