/** What values can be of: the charts of Zero to JupyterHub, of Nublado in Phalanx, and of BinderHub or binderhub-service. */
export const IMPORT_KINDS = ['z2jh', 'nublado', 'binderhub'] as const;
export type ImportKind = (typeof IMPORT_KINDS)[number];
