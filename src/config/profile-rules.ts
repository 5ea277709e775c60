import type { ParsedLab } from './lab.ts';
import type { LabOverlay } from './lab-overlay.ts';
import { crossCheck, type Report } from './cross-check.ts';
import { mergeLab, mergeLabs } from './merge-lab.ts';
import { checkOverlay } from './overlays.ts';
import { defaultOf, type ProfileLayer } from './profile-layers.ts';
import { fillOverlay, misplacedValues } from './write-in.ts';

interface Whole {
  readonly lab: ParsedLab;
  readonly images: {
    readonly list: readonly {
      readonly reference: string;
      readonly lab?: LabOverlay;
      readonly sizes?: readonly string[];
    }[];
  };
}
type Profile = ParsedLab['profiles'][number];
type Path = readonly (string | number)[];
interface Layer {
  readonly over: ProfileLayer;
  readonly path: Path;
}

/**
 * What profiles make of `lab` must be as good as `lab` itself: each profile with its size and its image, each choice over its profile, and
 * the choices that are made beforehand one over the other.
 */
export const checkProfiles = crossCheck<Whole>(['lab', 'images'], (whole, report) => {
  whole.lab.profiles.forEach((profile, index) => {
    checkProfile(whole, profile, ['lab', 'profiles', index], report);
  });
});

function checkProfile(whole: Whole, profile: Profile, path: Path, report: Report): void {
  const own = { over: profile, path };
  checkSize(whole.lab, own, report);
  const base = withChosen(whole, whole.lab, profile);
  const ofProfile = mergeLab(base, profile.lab ?? {});
  checkOverlay(profile.lab ?? {}, [ofProfile], [...path, 'lab'], report);
  let all = ofProfile;
  for (const layers of Object.entries(profile.options).map(([name, option]) =>
    layersOf(option, [...path, 'options', name], report),
  )) {
    layers.forEach(({ over, path: place }, at) => {
      checkSize(whole.lab, { over, path: place }, report);
      const laid = mergeLab(mergeLab(withChosen(whole, base, over), profile.lab ?? {}), over.lab ?? {});
      const together = at === 0 ? mergeLab(withChosen(whole, all, over), over.lab ?? {}) : laid;
      checkOverlay(over.lab ?? {}, [laid, together], [...place, 'lab'], report);
      if (at === 0) all = together;
    });
  }
}

/** The layers of an option, first the one that is chosen beforehand. */
function layersOf({ choices, writeIn, repository }: Profile['options'][string], path: Path, report: Report): Layer[] {
  const ofChoices = choices.map((over, at): Layer => ({ over, path: [...path, 'choices', at] }));
  const first = defaultOf(choices);
  const ordered = [
    ...ofChoices.filter(({ over }) => over === first),
    ...ofChoices.filter(({ over }) => over !== first),
  ];
  if (repository !== undefined) ordered.push({ over: repository, path: [...path, 'repository'] });
  if (writeIn !== undefined) {
    const { lab } = writeIn;
    for (const key of misplacedValues(lab ?? {})) {
      report(
        [...path, 'writeIn', 'lab', key],
        'expected no {value} here: it stands in image, and in command, args, env, defaultUrl, extraLabels and extraAnnotations of lab',
      );
    }
    // What is written in names no image whose settings are known.
    const { image, ...over } = { ...writeIn, ...(lab && { lab: fillOverlay(lab, 'x') }) };
    if (image !== undefined || lab !== undefined) ordered.push({ over, path: [...path, 'writeIn'] });
  }
  return ordered;
}

function checkSize({ sizes }: ParsedLab, { over, path }: Layer, report: Report): void {
  if (over.size !== undefined && !sizes.some(({ name }) => name === over.size))
    report([...path, 'size'], `expected one of the sizes: ${sizes.map(({ name }) => name).join(', ')}`);
}

/** `lab` with the settings of the size and of the image that a layer names. */
function withChosen({ lab: { sizes }, images }: Whole, lab: ParsedLab, { size, image }: ProfileLayer): ParsedLab {
  const over = [
    ...sizes.filter(({ name }) => name === size),
    ...images.list.filter(({ reference }) => reference === image),
  ];
  return mergeLabs(lab, over);
}
