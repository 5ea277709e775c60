import { createRoute, z } from '@hono/zod-openapi';
import { BuildSpecification } from './build-request.ts';
import { BUILD_PHASES, BuildState } from './build-state.ts';
import { ErrorBody } from '../server/errors.ts';
import { secured } from '../server/permissions.ts';
import { limitStreams } from '../server/requests/rate-limit.ts';
import { limitBody } from '../server/requests/request-limits.ts';
import { REPOSITORY } from '../../domain/git/repository-forms.ts';
import { BuildEventFrame } from './build-events.ts';
import { events, json } from '../server/responses.ts';

const PAGE = 100;
const LONGEST_PAGE = 1000;
/** Any string to the compiler: the answer is a stream, and no text that is made at once. */
const PLAIN_TEXT: string = 'text/plain';

const params = z.object({
  // Anything else is the id of no build.
  id: z.string().meta({ pattern: '^[0-9a-f]{40}$', example: '3f1c9a7e5b2d4f6081a3c5e7092b4d6f8a1c3e50' }),
});
const unknown = { 404: json(ErrorBody, 'No such build, or none can be made here') };
const stateHeaders = { headers: z.object({ Location: z.string().meta({ description: 'Address of the build.' }) }) };

export const createBuild = createRoute({
  ...secured('createBuild', limitBody),
  method: 'post',
  path: '/builds',
  summary: 'Ask for the image of a repository',
  description:
    'Resolves the ref, and finds the image in the registry, joins the build that makes it already, or begins one. When the ' +
    'answer is there, the build will end one way or the other; its events tell how it goes.',
  request: { body: { required: true, content: { 'application/json': { schema: BuildSpecification } } } },
  responses: {
    200: { ...json(BuildState, 'The image is there, or a build of it was under way'), ...stateHeaders },
    201: { ...json(BuildState, 'A build was begun'), ...stateHeaders },
    404: json(ErrorBody, 'No such repository or ref, or no builds are configured'),
    429: json(ErrorBody, 'Too many builds wait, or too many requests'),
  },
});

export const listBuilds = createRoute({
  ...secured('listBuilds'),
  method: 'get',
  path: '/builds',
  summary: 'Builds, the newest first; of users, their own',
  request: {
    query: z.object({
      user: z.string().optional().meta({ description: 'Who asked for them.' }),
      repository: z
        .string()
        .optional()
        .meta({ description: 'As in a create.', pattern: `^(?:${REPOSITORY})$` }),
      phase: z.enum(BUILD_PHASES).optional(),
      limit: z
        .string()
        .regex(/^\d{1,4}$/, { error: 'Input should be a valid integer' })
        .transform(Number)
        .pipe(
          z
            .int()
            .min(1)
            .max(LONGEST_PAGE, { error: `Input should be at most ${String(LONGEST_PAGE)}` }),
        )
        .default(PAGE)
        .meta({ type: 'integer', minimum: 1, maximum: LONGEST_PAGE, description: 'Most builds of one answer.' }),
      after: z
        .string()
        .regex(/^\d{1,16}-[0-9a-f]{1,64}$/, { error: 'Value error, not the next of an answer' })
        .optional()
        .meta({ description: '`next` of the answer before.' }),
    }),
  },
  responses: {
    200: json(
      z.object({
        builds: z.array(BuildState),
        next: z.string().nullable().meta({ description: 'Where to go on; null at the end.' }),
      }),
      'The builds',
    ),
    ...unknown,
  },
});

export const getBuild = createRoute({
  ...secured('getBuild'),
  method: 'get',
  path: '/builds/{id}',
  summary: 'State of a build',
  request: { params },
  responses: { 200: json(BuildState, 'The build'), ...unknown },
});

export const cancelBuild = createRoute({
  ...secured('cancelBuild'),
  method: 'delete',
  path: '/builds/{id}',
  summary: 'Cancel a build',
  description: 'For everybody who waits for it. Users can cancel what they asked for first.',
  request: { params },
  responses: {
    202: { description: 'It ends; its events tell when it has' },
    204: { description: 'It was over already, and stays as it is' },
    ...unknown,
  },
});

export const followBuild = createRoute({
  ...secured('followBuild', limitStreams),
  method: 'get',
  path: '/builds/{id}/events',
  summary: 'Follow a build, from its beginning',
  description: 'Events `phase`, `log`, `ready`, `failed` and `cancelled`; the last three end the stream.',
  request: {
    params,
    headers: z.object({ 'last-event-id': z.string().optional().meta({ description: 'Where to go on.' }) }),
  },
  responses: {
    200: events(BuildEventFrame),
    429: json(ErrorBody, 'Too many streams are open, or too many requests'),
    ...unknown,
  },
});

export const getBuildLog = createRoute({
  ...secured('getBuildLog', limitStreams),
  method: 'get',
  path: '/builds/{id}/log',
  summary: 'The log of a build, as far as it is there',
  request: { params },
  responses: {
    200: { description: 'The lines', content: { [PLAIN_TEXT]: { schema: z.string() } } },
    429: json(ErrorBody, 'Too many streams are open, or too many requests'),
    ...unknown,
  },
});
