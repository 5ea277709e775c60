import { LabwrightError } from '../../domain/errors.ts';
import { isRecord } from '../../util/is-record.ts';
import { type LabRequestOptions, OPTION_LENGTH } from './lab-specification.ts';

/** What was said for one option of a profile, and where. */
export interface Said {
  readonly text: string;
  readonly loc: readonly string[];
}

/** Parts of what is said for an option: the option itself, or one of the texts beside it. */
export type Part = '' | 'unlisted-choice' | 'image_repo' | 'image_ref' | 'image_path';

const OPTIONS = ['body', 'options'];

/** Name of the field of a form for a part of an option; KubeSpawner's, with its `--unlisted-choice`. */
export function fieldName(profile: string, option: string, part: Part = ''): string {
  return `profile-option-${profile}--${option}${part === '' ? '' : `--${part}`}`;
}

/**
 * What was said for an option of a profile. Three ways, of which the first that says anything counts: `profile_options`, the fields of the
 * form, and the names alone, which are what KubeSpawner makes of the form and what callers of the hub's API send.
 *
 * @throws {LabwrightError} `invalid_request` (422) where it is no text
 */
export function saidFor(
  { profileOptions, others, size }: Pick<LabRequestOptions, 'profileOptions' | 'others' | 'size'>,
  profile: string,
  option: string,
  part: Part = '',
): Said | undefined {
  const key = part === '' ? option : `${option}--${part}`;
  const within = [...OPTIONS, 'profile_options'];
  const direct = own(profileOptions, option);
  const inside = isRecord(direct) ? (part === '' ? undefined : own(direct, part)) : part === '' ? direct : undefined;
  return (
    read(inside, part === '' ? [...within, option] : [...within, option, part]) ??
    (part === '' ? undefined : read(own(profileOptions, key), [...within, key])) ??
    read(own(others, fieldName(profile, option, part)), [...OPTIONS, fieldName(profile, option, part)]) ??
    // A selector of Nublado has been taken out already.
    read(key === 'size' ? size : own(others, key), [...OPTIONS, key])
  );
}

function own(record: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function read(value: unknown, loc: readonly string[]): Said | undefined {
  const [first, ...more] = Array.isArray(value) ? (value as unknown[]) : [value];
  if (first === undefined || first === null || first === '') return undefined;
  const fault =
    more.length > 0
      ? 'Too many values'
      : typeof first !== 'string'
        ? 'Input should be a valid string'
        : first.length > OPTION_LENGTH
          ? `String should have at most ${String(OPTION_LENGTH)} characters`
          : undefined;
  if (fault !== undefined) throw new LabwrightError('invalid_profile_option', 422, fault, { loc });
  return { text: first as string, loc };
}
