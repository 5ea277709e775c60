import { coreType } from './common.ts';

export const serviceAccounts = coreType(
  { plural: 'serviceaccounts', singular: 'serviceaccount', kind: 'ServiceAccount' },
  { returnsDeleted: true },
);
