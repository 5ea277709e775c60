/** The configuration file: one schema, read once, handed on as a frozen value. */
export {
  DEFAULT_NAMESPACE,
  repositoryOf,
  sizeResources,
  type BackendConfig,
  type BuildsConfig,
  type Config,
  type ConfigInput,
  type CopiedSecretConfig,
  type ExecutorConfig,
  type ImageConfig,
  type ImagesConfig,
  type ImageSourceConfig,
  type InitContainerConfig,
  type LabConfig,
  type LabSizeConfig,
  type PrepullConfig,
  type ProfileConfig,
  type ProfileOptionConfig,
  type TokenConfig,
  type VolumeConfig,
  type VolumeMountConfig,
} from './config.ts';
export {
  buildConfig,
  ConfigError,
  findLines,
  loadConfig,
  parseConfig,
  readConfigFile,
  type ConfigProblem,
} from './load.ts';
export { IMAGE_CLASSES, type ImageClass } from './images/image.ts';
export { LISTED } from './images/sources.ts';
export { describeHomes, type Homes } from './homes.ts';
export { knownSources } from './known-sources.ts';
export { type Reload, reloadConfig } from './reload.ts';
export { mergeLab } from './merge-lab.ts';
export { type Chooser, findOverlays, isOffered } from './overlays.ts';
export {
  type Compute,
  defaultOf,
  layCompute,
  layUnlimited,
  leavesImage,
  leavesSize,
  namedImage,
  namedSize,
  type ProfileLayer,
  profileLayers,
} from './profile-layers.ts';
export { REPOSITORY_CHOICE, UNLISTED_CHOICE } from './profiles.ts';
export { securityDemands } from './pod-security.ts';
export { resolveQuota } from './quotas.ts';
export { sandboxConfig, type SandboxSettings } from './sandbox.ts';
export { writeAmount } from './units.ts';
export { faultOfWriteIn, htmlPattern, isSlowPattern, matchesPattern, WRITE_IN_LENGTH } from './write-in.ts';
