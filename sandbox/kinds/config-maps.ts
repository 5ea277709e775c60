import { checkDataKeys, checkImmutableData, coreType } from './common.ts';

export const configMaps = coreType(
  { plural: 'configmaps', singular: 'configmap', kind: 'ConfigMap' },
  { validate: checkDataKeys, validateUpdate: checkImmutableData },
);
