import type { Logger } from 'pino';
import { z } from 'zod';
import { isImageTag } from '../../domain/image/image-reference.ts';
import { retry } from '../../util/backoff.ts';
import { withDeadline } from '../../util/deadline.ts';
import type { Authorities } from '../outbound/authorities.ts';
import { GoogleToken } from './google-token.ts';
import { parseJson } from './parse-json.ts';
import { denied, repositoryMissing, RegistryProblem, unavailable } from './problems.ts';
import { isOutage, RegistryHttp, retryAfterMs } from './registry-http.ts';

export interface ArtifactPlace {
  /** `us-central1`, `europe`. */
  readonly location: string;
  readonly project: string;
  /** The repository of the Artifact Registry: what comes after the project in an image's name. */
  readonly repository: string;
  /** What comes after the repository; it may have several parts. */
  readonly image: string;
}

export interface Artifact {
  readonly tags: readonly string[];
  readonly digest: string;
  /** Bytes, as Google counts them; null when it does not say. */
  readonly size: number | null;
  /** Milliseconds since the epoch; null when it does not say. */
  readonly uploaded: number | null;
}

export interface GoogleArtifactsOptions {
  readonly logger: Logger;
  /** Milliseconds for one answer. */
  readonly timeout: number;
  /** Where the API is. */
  readonly api?: string;
  /** Where the metadata server gives the token of the pod's service account. */
  readonly tokenAddress?: string;
  readonly retryMs?: number;
  readonly authorities?: Authorities | undefined;
}

const API = 'https://artifactregistry.googleapis.com';
const TOKEN_ADDRESS = 'http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token';
/** Also below what an answer may have in bytes. */
const PAGE = 500;
const MOST_PAGES = 100;
const MOST_ARTIFACTS = 20_000;
/** Without this, each image comes with its manifests and labels. */
const FIELDS = 'nextPageToken,dockerImages(uri,tags,imageSizeBytes,uploadTime)';
const RETRY = { attempts: 4, firstMs: 500, longestMs: 10_000 };
const LISTING_ANSWERS = 30;

/** Numbers of 64 bits are text in Google's JSON. */
const int64 = z.union([z.string().regex(/^\d{1,15}$/), z.number().int().nonnegative()]).transform(Number);
const page = z.looseObject({
  dockerImages: z
    .array(
      z.looseObject({
        uri: z.string(),
        tags: z.array(z.string()).default([]),
        imageSizeBytes: int64.optional().catch(undefined),
        uploadTime: z.string().optional().catch(undefined),
      }),
    )
    .default([]),
  nextPageToken: z.string().max(4_096).default(''),
});

/** Lists images of Google's Artifact Registry with their tags, sizes and times: one list instead of a question for each tag. */
export class GoogleArtifacts {
  readonly #options: GoogleArtifactsOptions;
  readonly #api: string;
  readonly #http: RegistryHttp;
  readonly #token: GoogleToken;
  readonly #closed = new AbortController();

  constructor(options: GoogleArtifactsOptions) {
    const { api = API, tokenAddress = TOKEN_ADDRESS, timeout: timeoutMs, authorities } = options;
    this.#options = options;
    this.#api = api;
    this.#http = new RegistryHttp({ host: this.#host, insecure: false, timeoutMs, authorities });
    this.#token = new GoogleToken(this.#http, tokenAddress, this.#host);
  }

  /** How it is called in problems. */
  get #host(): string {
    return new URL(this.#api).host;
  }

  async close(): Promise<void> {
    this.#closed.abort(unavailable(this.#host, 'is not asked any more: Labwright stops'));
    await this.#http.close();
  }

  /**
   * All images of one name, also those that have no tag.
   *
   * @throws {RegistryProblem} `RegistryRepositoryMissing`, `RegistryDenied`, `RegistryUnavailable`
   */
  listArtifacts(place: ArtifactPlace, signal: AbortSignal): Promise<readonly Artifact[]> {
    const ms = LISTING_ANSWERS * this.#options.timeout;
    const late = () => unavailable(this.#host, 'does not answer in time');
    const endsAt = performance.now() + ms;
    return withDeadline({ ms, late, signal: AbortSignal.any([signal, this.#closed.signal]) }, (either) =>
      this.#list(place, either, endsAt),
    );
  }

  async #list(place: ArtifactPlace, signal: AbortSignal, endsAt: number): Promise<readonly Artifact[]> {
    const found: Artifact[] = [];
    const seen = new Set<string>();
    let [token, count] = ['', 0];
    do {
      const { dockerImages, nextPageToken } = await this.#page(place, token, signal, endsAt);
      count += dockerImages.length;
      found.push(...dockerImages.flatMap((image) => readArtifact(image, place)));
      if (count > MOST_ARTIFACTS) throw this.#refused(`has more than ${MOST_ARTIFACTS} images in ${place.repository}`);
      token = nextPageToken;
      if (seen.has(token)) throw this.#refused(`lists the images of ${place.repository} in a circle`);
      seen.add(token);
      if (seen.size > MOST_PAGES) throw this.#refused(`lists the images of ${place.repository} on too many pages`);
    } while (token !== '');
    return found;
  }

  #page(place: ArtifactPlace, pageToken: string, signal: AbortSignal, endsAt: number): Promise<z.output<typeof page>> {
    const { logger, retryMs: firstMs = RETRY.firstMs } = this.#options;
    const again = (error: unknown) => {
      if (!(error instanceof RegistryProblem) || !error.transient) return undefined;
      logger.debug({ message: error.message }, 'the registry was asked in vain');
      return error.retryAfterMs ?? 0;
    };
    return retry({ ...RETRY, firstMs, endsAt, signal, again }, async () => {
      let answer = await this.#ask(place, pageToken, signal);
      if (answer.status === 401) {
        this.#token.forget();
        answer = await this.#ask(place, pageToken, signal);
      }
      const { status, headers, body } = answer;
      if (status === 401 || status === 403) throw denied(this.#host, true);
      if (status === 404) throw repositoryMissing(this.#host, `${place.project}/${place.repository}`);
      if (status !== 200) {
        const options = { retryAfterMs: retryAfterMs(headers), transient: isOutage(status) };
        throw unavailable(this.#host, `answers with ${status}`, options);
      }
      const parsed = page.safeParse(parseJson(body));
      if (!parsed.success) throw unavailable(this.#host, 'answers with something that is no list of images');
      return parsed.data;
    });
  }

  async #ask({ location, project, repository }: ArtifactPlace, pageToken: string, signal: AbortSignal) {
    const parts = ['projects', project, 'locations', location, 'repositories', repository, 'dockerImages'];
    const url = new URL(`/v1/${parts.map(encodeURIComponent).join('/')}`, this.#api);
    url.searchParams.set('pageSize', String(PAGE));
    url.searchParams.set('fields', FIELDS);
    if (pageToken !== '') url.searchParams.set('pageToken', pageToken);
    const authorization = `Bearer ${await this.#token.get(signal)}`;
    const headers = { accept: 'application/json', authorization };
    return this.#http.ask(url.href, { method: 'GET', headers, follow: false, signal });
  }

  #refused(why: string): RegistryProblem {
    return unavailable(this.#host, why, { transient: false });
  }
}

const URI = /^[^/@]+\/([^@]+)@(sha256:[0-9a-f]{64})$/;

/** One that has the name that is asked for; the API lists all of a repository. A project may have its domain before it. */
function readArtifact(
  { uri, tags, imageSizeBytes, uploadTime }: z.output<typeof page>['dockerImages'][number],
  { project, repository, image }: ArtifactPlace,
): Artifact[] {
  const [, name, digest = ''] = URI.exec(uri) ?? [];
  if (name !== `${project.replace(':', '/')}/${repository}/${image}`) return [];
  const uploaded = uploadTime === undefined ? Number.NaN : Date.parse(uploadTime);
  return [
    {
      digest,
      tags: tags.filter(isImageTag),
      size: imageSizeBytes ?? null,
      uploaded: Number.isNaN(uploaded) ? null : uploaded,
    },
  ];
}
