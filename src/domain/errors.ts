/**
 * Errors that a caller can read.
 *
 * Every one has a stable code (the `type` of Nublado's error model, which the hub plugin and its users already know),
 * an HTTP status and one sentence for the person who meets it. Anything else that is thrown is our own fault and is
 * answered with 500 and no detail.
 */
export type ErrorCode =
  | 'bad_gateway'
  | 'build_limit'
  | 'delete_failed'
  | 'insufficient_quota'
  | 'invalid_docker_reference'
  | 'invalid_lab_size'
  | 'invalid_profile'
  | 'invalid_profile_option'
  | 'invalid_repository'
  | 'invalid_request'
  | 'invalid_token'
  | 'lab_exists'
  | 'method_not_allowed'
  | 'missing'
  | 'name_taken'
  | 'not_found'
  | 'not_ready'
  | 'operation_in_progress'
  | 'overloaded'
  | 'payload_too_large'
  | 'permission_denied'
  | 'registry_unavailable'
  | 'repository_not_allowed'
  | 'repository_unavailable'
  | 'too_many_requests'
  | 'unknown_build'
  | 'unknown_image'
  | 'unknown_repository'
  | 'unknown_user'
  | 'unsupported_media_type'
  | 'value_error';

export interface LabwrightErrorOptions extends ErrorOptions {
  /** Where in the request the fault is: `['body', 'options', 'size']`. The first part is body, header, path or query. */
  readonly loc?: readonly string[];
  /** Whole seconds after which it makes sense to ask again; sent as Retry-After. */
  readonly retryAfter?: number;
}

export class LabwrightError extends Error {
  override readonly name = 'LabwrightError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly loc: readonly string[] | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, status: number, message: string, options: LabwrightErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = status;
    this.loc = options.loc;
    this.retryAfter = options.retryAfter;
  }
}
