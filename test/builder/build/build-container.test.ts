import { expect, it } from 'vitest';
import { buildContainer, labelledSpec } from '../../../src/builder/build/build-container.ts';
import { buildsConfig, buildSpec } from '../../reconcile/builds/docker-executor-support.ts';

it('says in its labels which build it is, and containers of before that name of the label are still known', () => {
  const spec = buildSpec('notebooks');
  const config = buildsConfig();
  const { Labels } = buildContainer(spec, { config, backend: config.backend, controller: 'hub', isPodman: false });
  expect(Labels).not.toHaveProperty('labwright.dev/build');
  expect(labelledSpec(Labels)).toEqual(spec);
  const { 'labwright.dev/build-spec': label = '', ...others } = Labels;
  expect(labelledSpec({ ...others, 'labwright.dev/build': label })).toEqual(spec);
  expect(labelledSpec(others)).toBeUndefined();
});
