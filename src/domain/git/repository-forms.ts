/**
 * How repositories are usually written, as regular expressions for descriptions of the API. What they match can be read
 * (`parseRepository`, `parseBinderSpec`), unless it is of a host that gives no such names; a few more spellings can be read
 * too: other letters, percent-encoding, IPv6 addresses.
 */
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,60}[a-z0-9])?';
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])';
const HOST = String.raw`(?:(?:${LABEL}\.){0,8}[a-z](?:[a-z0-9-]{0,60}[a-z0-9])?|(?:${OCTET}\.){3}${OCTET})`;
const PORT = '[1-9][0-9]{0,3}|[1-5][0-9]{4}';
const NAME = String.raw`(?!\.{1,2}(?:[/%]|$)|(?:\.git)+(?:[/%]|$))[A-Za-z0-9_.-]{1,100}`;
const PATH = `(?:/(?!-)${NAME}){1,10}`;
const DOI = String.raw`10\.[0-9]{4,9}/(?!\.{1,2}$)[a-z0-9._()-]{1,100}`;
/** The ref at the end of what BinderHub calls a specification. */
const REF_AT_END = String.raw`(?:/[A-Za-z0-9_][A-Za-z0-9_-]{0,100}(?:[.][0-9]{1,10}){0,3})?`;

/** `owner/name` of GitHub, a URL, `user@host:path`, or a DOI. */
export const REPOSITORY = [
  `(?!-)${NAME}/${NAME}`,
  `https?:/{2}${HOST}(?::(?:${PORT}))?${PATH}`,
  `ssh://(?:[a-z_][a-z0-9_-]{0,30}@)?${HOST}(?::(?:${PORT}))?${PATH}`,
  `[a-z_][a-z0-9_-]{0,30}@${HOST}:(?!-)${NAME}${PATH}`,
  `(?:doi:|https:/{2}doi[.]org/)?${DOI}`,
].join('|');

/** What stands behind each provider in an address of BinderHub. */
export const BINDER_SPECS: Readonly<Record<'gh' | 'gl' | 'git' | 'gist' | 'zenodo', string>> = {
  gh: `(?!-)${NAME}/${NAME}${REF_AT_END}`,
  gl: `(?!-)${NAME}(?:%2F(?!-)${NAME}){1,5}${REF_AT_END}`,
  git: `https?(?::|%3A)%2F%2F${HOST}(?:(?::|%3A)(?:${PORT}))?(?:%2F(?!-)${NAME}){1,10}${REF_AT_END}`,
  gist: `[A-Za-z0-9-]{1,39}/[0-9a-f]{32}${REF_AT_END}`,
  zenodo: DOI,
};
