import {
  type Chooser,
  type Config,
  defaultOf,
  faultOfWriteIn,
  isOffered,
  matchesPattern,
  type ProfileConfig,
  type ProfileOptionConfig,
  REPOSITORY_CHOICE,
  UNLISTED_CHOICE,
  WRITE_IN_LENGTH,
} from '../../config/index.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { ChosenProfile, OptionChoice } from '../../domain/lab/lab.ts';
import type { ImageChoice, LabRequestOptions } from './lab-specification.ts';
import { type Said, saidFor } from './said-options.ts';

/** The profile that was asked for, with a choice for each of its options. */
export interface ResolvedProfile {
  readonly profile: ProfileConfig;
  readonly chosen: ChosenProfile;
  /** The repository that an option has the image built from. */
  readonly source?: ImageChoice & { readonly loc: readonly string[] };
  /** Where an image was written in. */
  readonly writtenIn?: readonly string[];
  /** The request names a profile. */
  readonly isSaid: boolean;
}

type User = Pick<Chooser, 'groups'>;
export const PROFILE_LOC = ['body', 'options', 'profile'];
const NAME = /^[A-Za-z0-9._-]{1,100}$/;

/** The profiles that are offered to a user. */
export function offeredProfiles({ lab, builds }: Pick<Config, 'lab' | 'builds'>, user: User): ProfileConfig[] {
  return lab.profiles
    .filter((profile) => isOffered(profile, user))
    .map((profile) => offeredOf(profile, user, builds !== undefined));
}

/** A profile with what of its options is offered to a user. An option of which nothing is offered asks nothing. */
function offeredOf(profile: ProfileConfig, user: User, areBuilt: boolean): ProfileConfig {
  const options = Object.entries(profile.options).flatMap(([name, { choices, writeIn, repository, ...option }]) => {
    const offered: ProfileOptionConfig = {
      ...option,
      choices: choices.filter((choice) => isOffered(choice, user)),
      ...(writeIn !== undefined && isOffered(writeIn, user) ? { writeIn } : {}),
      ...(areBuilt && repository !== undefined && isOffered(repository, user) ? { repository } : {}),
    };
    const asks = offered.choices.length > 0 || offered.writeIn !== undefined || offered.repository !== undefined;
    return asks ? [[name, offered] as const] : [];
  });
  return { ...profile, options: Object.fromEntries(options) };
}

/**
 * The profile of a request. Without one the profile is meant that is chosen beforehand, as in KubeSpawner.
 *
 * @returns undefined where there are no profiles
 * @throws {LabwrightError} `invalid_profile`, `invalid_profile_option` (422), `permission_denied` (403)
 */
export function resolveProfile(config: Config, options: LabRequestOptions, user: User): ResolvedProfile | undefined {
  const { profiles } = config.lab;
  const { profile: asked, profileOptions } = options;
  if (profiles.length === 0) {
    if (asked === undefined) return undefined;
    throw new LabwrightError('invalid_profile', 422, 'There are no profiles here', { loc: PROFILE_LOC });
  }
  const offered = offeredProfiles(config, user);
  const profile = asked === undefined ? defaultOf(offered) : offered.find(({ name }) => name === asked);
  if (profile === undefined) throw notOffered(asked, profiles);
  const all = profiles.find(({ name }) => name === profile.name) ?? profile;
  for (const option of Object.keys(profileOptions).map((key) => key.replace(/--.*$/, ''))) {
    if (Object.hasOwn(all.options, option)) continue;
    const message = `The profile "${profile.name}" has no option${quoted(option)}`;
    throw new LabwrightError('invalid_profile_option', 422, message, {
      loc: ['body', 'options', 'profile_options', option],
    });
  }
  const answers = Object.entries(all.options).flatMap(([name, option]) => {
    const answer = answerOf({ profile: profile.name, name, option, offered: profile.options[name] }, options);
    return answer === undefined ? [] : [{ name, ...answer }];
  });
  return {
    profile,
    chosen: { name: profile.name, options: Object.fromEntries(answers.map(({ name, choice }) => [name, choice])) },
    ...answers.reduce(
      (all, { source, writtenIn }) => ({ ...all, ...(source && { source }), ...(writtenIn && { writtenIn }) }),
      {},
    ),
    isSaid: asked !== undefined,
  };
}

interface Asked {
  readonly profile: string;
  readonly name: string;
  readonly option: ProfileOptionConfig;
  /** What of it is offered to the user; undefined when nothing is. */
  readonly offered: ProfileOptionConfig | undefined;
}

interface Answer {
  readonly choice: OptionChoice;
  readonly source?: ImageChoice & { readonly loc: readonly string[] };
  readonly writtenIn?: readonly string[];
}

function answerOf(asked: Asked, options: LabRequestOptions): Answer | undefined {
  const { profile, name } = asked;
  const said = saidFor(options, profile, name);
  const written = saidFor(options, profile, name, UNLISTED_CHOICE);
  const repository = saidFor(options, profile, name, 'image_repo');
  // A form sends all of its fields: what is chosen decides over what stands beside it.
  if (said?.text === REPOSITORY_CHOICE || (said === undefined && repository !== undefined)) {
    return built(asked, repository ?? said, repository !== undefined, options);
  }
  if (said?.text === UNLISTED_CHOICE || (said === undefined && written !== undefined)) {
    return writeIn(asked, written, said?.loc ?? written?.loc ?? []);
  }
  return said === undefined ? unsaid(asked) : listed(asked, said);
}

/** What is chosen beforehand. */
function unsaid(asked: Asked): Answer | undefined {
  const { name, offered } = asked;
  const choice = defaultOf(offered?.choices ?? []);
  if (choice !== undefined) return { choice: { choice: choice.name } };
  if (offered === undefined) return undefined;
  throw fault(`Nothing is chosen for ${titleOf(asked)}`, ['body', 'options', 'profile_options', name]);
}

/** One of the choices, by its name. */
function listed(asked: Asked, said: Said): Answer {
  const { option, offered } = asked;
  if (offered?.choices.some(({ name }) => name === said.text) === true) return { choice: { choice: said.text } };
  if (option.choices.some(({ name }) => name === said.text)) throw denied(titleOf(asked), said.loc);
  // In the form a text is written beside the menu, so that it cannot be meant there.
  if (option.writeIn !== undefined && said.loc[2] === 'profile_options') return writeIn(asked, said, said.loc);
  const expected = option.choices.map(({ name }) => name).join(', ');
  throw fault(
    `There is no choice${quoted(said.text)} of ${titleOf(asked)} any more: expected one of ${expected}`,
    said.loc,
  );
}

/** What was written in, if it may be. */
function writeIn(asked: Asked, written: Said | undefined, loc: readonly string[]): Answer {
  const { option, offered } = asked;
  if (option.writeIn === undefined) throw fault(`Nothing can be written in for ${titleOf(asked)}`, loc);
  if (offered?.writeIn === undefined) throw denied(titleOf(asked), loc);
  if (written === undefined) throw fault(`Nothing is written in for ${titleOf(asked)}`, loc);
  const { pattern, message, image, lab } = offered.writeIn;
  const text = written.text.trim();
  const wrong =
    text === '' || text.length > WRITE_IN_LENGTH
      ? `It must have 1 to ${String(WRITE_IN_LENGTH)} characters`
      : pattern !== undefined && !matchesPattern(pattern, text)
        ? (message ?? 'It does not have the form that is expected')
        : faultOfWriteIn(lab, text);
  if (wrong !== undefined) throw fault(`${titleOf(asked)}: ${wrong}`, written.loc);
  return { choice: { writeIn: text }, ...(image === undefined ? {} : { writtenIn: written.loc }) };
}

/** The repository that the image is built from, if it may be. */
function built(asked: Asked, said: Said | undefined, isNamed: boolean, options: LabRequestOptions): Answer {
  const { profile, name, option, offered } = asked;
  const loc = said?.loc ?? [];
  if (option.repository === undefined) throw fault(`No image is built for ${titleOf(asked)}`, loc);
  if (offered?.repository === undefined) throw denied(titleOf(asked), loc);
  if (said === undefined || !isNamed) throw fault(`No repository is named for ${titleOf(asked)}`, loc);
  const [ref, path] = (['image_ref', 'image_path'] as const).map((part) => saidFor(options, profile, name, part)?.text);
  return {
    choice: { repository: said.text },
    source: { selector: 'image_repo', value: said.text, ref, path, loc },
  };
}

function titleOf({ name, option }: Asked): string {
  return option.title ?? name;
}

function fault(message: string, loc: readonly string[]): LabwrightError {
  return new LabwrightError('invalid_profile_option', 422, message, { loc });
}

function denied(what: string, loc: readonly string[]): LabwrightError {
  return new LabwrightError('permission_denied', 403, `This choice of ${what} is not offered to you`, { loc });
}

function notOffered(asked: string | undefined, profiles: readonly ProfileConfig[]): LabwrightError {
  const loc = { loc: PROFILE_LOC };
  if (asked === undefined) return new LabwrightError('permission_denied', 403, 'No profile is offered to you', loc);
  if (profiles.some(({ name }) => name === asked))
    return new LabwrightError('permission_denied', 403, 'This profile is not offered to you', loc);
  return new LabwrightError('invalid_profile', 422, `There is no profile${quoted(asked)} any more`, loc);
}

/** Repeats what the caller wrote only where it could be a name. */
function quoted(text: string): string {
  return NAME.test(text) ? ` "${text}"` : ' of that name';
}
