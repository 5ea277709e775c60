/** Build pods run as this one. It has no rights, and no build has a token of it. */
export const BUILD_SERVICE_ACCOUNT = 'labwright-build';
