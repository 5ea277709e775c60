/** As a site has it in Phalanx. */
export const NUBLADO_VALUES = `
global: { baseUrl: "https://data.example.org/" }
jupyterhub: { hub: { db: { type: postgres } } }
controller:
  slackAlerts: true
  image: { repository: ghcr.io/example/nublado, tag: "9.1" }
  resources: { limits: { cpu: "1" } }
  config:
    logLevel: WARNING
    pathPrefix: /nublado
    fileserver: { enabled: true, namespace: fileservers, volumeMounts: [] }
    fsadmin: { mountPrefix: /mnt }
    images:
      source: { type: google, location: us-central1, projectId: rubin, repository: sciplat, image: sciplat-lab }
      recommendedTag: recommended
      numReleases: 1
      numWeeklies: 2
      numDailies: 3
      pin: [r29_2_0]
      refreshInterval: 5m
    dropdownMenu: { weekly: { number: 78 } }
    watchReconnectTimeout: 3m
    metrics: { enabled: false, application: nublado }
    surprise: 1
    lab:
      application: nublado-users
      defaultSize: large
      deleteTimeout: 2m
      emptyDirSource: memory
      env: { RSP_SITE_TYPE: science, TAP_ROUTE: /api/tap }
      files: { /opt/conf/a.cfg: "b = c" }
      homedirPrefix: /home
      homedirSchema: initialThenUsername
      homeVolumeName: home
      jupyterlabConfigDir: /opt/lab
      labStartCommand: [/opt/lab/run.sh]
      namespacePrefix: nublado
      namespaceAnnotations: { openshift.io/sa.scc.uid-range: "{{ uid }}/1" }
      nss: { basePasswd: "root:x:0:0:root:/root:/bin/bash\\n", baseGroup: "root:x:0:\\n" }
      initContainers:
        - { name: prepare, image: { repository: ghcr.io/example/prepare, tag: "2" }, privileged: true, volumeMounts: [{ volumeName: home, containerPath: /home }] }
      pullSecret: pull-secret
      reconcileInterval: 5m
      runtimeMountsDir: /etc/nublado
      secrets: [{ secretName: nublado-lab-secret, secretKey: postgres.txt, path: /opt/postgres.txt }]
      sizes:
        - { size: small, resources: { limits: { cpu: 1.0, memory: 4Gi }, requests: { cpu: 0.25, memory: 0.75Gi } } }
        - { size: large, resources: { limits: { cpu: "4", memory: 16Gi }, requests: { cpu: 500m, memory: 4Gi } } }
      spawnTimeout: "600"
      standardInithome: true
      tolerations: [{ key: a, operator: Exists }]
      volumes:
        - { name: home, source: { type: nfs, server: nfs.example.org, serverPath: /jhome } }
        - { name: data, source: { type: persistentVolumeClaim, storageClassName: data, accessModes: [ReadOnlyMany], readOnly: true, resources: { requests: { storage: 1Gi } } } }
        - { name: node, source: { type: hostPath, path: /data } }
      volumeMounts:
        - { containerPath: /home, volumeName: home }
        - { containerPath: /data, volumeName: data, subPath: a, readOnly: true }
`;

/** Values of a hub beside those of BinderHub. */
export const HUB_VALUES = `
  singleuser: { memory: { guarantee: 1G, limit: 2G }, storage: { type: none } }
  hub:
    services: { binder: { apiToken: of-the-hub } }
    extraConfig: { 00-binder: "class BinderSpawner(KubeSpawner): pass" }
`;

/** Values of the chart BinderHub. */
export const BINDERHUB_VALUES = `
config:
  BinderHub:
    use_registry: true
    image_prefix: gcr.io/binder/r2d-
    build_memory_limit: 3G
    build_image: quay.io/jupyterhub/repo2docker:2024.07.0
    per_repo_quota: 100
    concurrent_build_limit: 12
    build_max_age: 7200
    sticky_builds: true
    hub_url: https://hub.example.org
    repo_providers: { gh: binderhub.repoproviders.GitHubRepoProvider, fig: binderhub.repoproviders.FigshareProvider }
    appendix: USER root
    banner_message: hello
  GitHubRepoProvider:
    access_token: sesame-git
    banned_specs: ["^mallory/.*", "(?i)spam(?P<x>.)", "(?P=broken"]
    spec_config: [{ pattern: "^a/.*", config: { quota: 3 } }]
  GitLabRepoProvider: { hostname: git.example.org }
  LaunchQuota: { total_quota: 300 }
  KubernetesBuildExecutor:
    docker_host: /var/run/x
    extra_envs: { HTTPS_PROXY: "http://proxy" }
    resources: { limits: { cpu: "2" }, requests: { cpu: 500m, memory: 1Gi } }
    node_selector: { pool: builds }
registry: { url: "https://gcr.io", username: _json, password: sesame-registry }
dind: { enabled: true }
imageCleaner: { enabled: true }
replicas: 2
extraConfig: { mine: "c.BinderHub.build_class = X" }
jupyterhub:${HUB_VALUES}`;
