/** The configuration file: one schema, read once, handed on as a frozen value. */
export {
  DEFAULT_NAMESPACE,
  sizeResources,
  type BackendConfig,
  type BuildsConfig,
  type Config,
  type ConfigInput,
  type CopiedSecretConfig,
  type ExecutorConfig,
  type ImageConfig,
  type InitContainerConfig,
  type LabConfig,
  type LabSizeConfig,
  type TokenConfig,
  type VolumeConfig,
  type VolumeMountConfig,
} from './config.ts';
export { buildConfig, ConfigError, loadConfig, parseConfig, readConfigFile, type ConfigProblem } from './load.ts';
export { type Reload, reloadConfig } from './reload.ts';
export { mergeLab } from './merge-lab.ts';
export { type Chooser, findOverlays, isOffered } from './overlays.ts';
export { resolveQuota } from './quotas.ts';
export { sandboxConfig, type SandboxSettings } from './sandbox.ts';
