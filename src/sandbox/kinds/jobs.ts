import { coreType } from './common.ts';

export const jobs = {
  ...coreType({ plural: 'jobs', singular: 'job', kind: 'Job' }, { hasStatus: true }),
  group: 'batch',
};
