/** Architectures as images are tagged with them: names of Go, which the OCI image specification uses, and those of uname. */
const SUFFIX =
  /[-_.](?:linux[-_.])?(amd64|x86_64|386|i386|i686|arm64(?:[-_.]?v8)?|aarch64|arm(?:32)?(?:[-_.]?v[5-7])?|armhf|armv7l|ppc64le|s390x|riscv64|loong64|mips64le)$/;

/** A tag without the architecture at its end, and that architecture, as it is written. */
export function splitArchitecture(tag: string): readonly [rest: string, architecture: string | null] {
  const match = SUFFIX.exec(tag);
  return match === null ? [tag, null] : [tag.slice(0, match.index), match[1] ?? null];
}
