import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Names, at the end of a run, every test that was not run, and how to get it run. */
export default class NotRunReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => [...module.children.allTests('skipped')]);
    if (skipped.length === 0) return;
    const noManager = !existsSync(join(process.env.KUBEBUILDER_ASSETS ?? '', 'kube-controller-manager'));
    const lines = skipped.map((test: TestCase) => `  NOT RUN: ${test.module.relativeModuleId}: ${test.fullName}`);
    const remedy = noManager
      ? [
          'The folder in KUBEBUILDER_ASSETS has no kube-controller-manager, which these tests need.',
          'Put the one of the same Kubernetes release beside kube-apiserver and run them again.',
        ]
      : [];
    process.stdout.write(`\n${[`Tests that were NOT RUN (${skipped.length}):`, ...lines, ...remedy].join('\n')}\n`);
  }
}
