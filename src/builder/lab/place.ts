import type { LabConfig } from '../../config/config.ts';
import { isDnsLabel } from '../../domain/kubernetes/names.ts';
import { DEFAULT_POD_NAME } from '../../domain/lab/object-names.ts';
import type { LabSpec } from '../../domain/lab/lab.ts';
import { fillPlaceholders, type Occupant } from '../../domain/lab/placeholders.ts';
import { labSlug } from '../../domain/names.ts';

/**
 * Where a lab that is asked for now is to be. It is written into the lab's specification: labs that are there stay where they are,
 * whatever the configuration says by then.
 *
 * @param controller namespace of Labwright, where labs are whose configuration names no other one for all of them
 */
export function placeOf(
  { namespaces, namespace, namespacePrefix, podName }: LabConfig,
  controller: string,
  occupant: Occupant,
): Pick<LabSpec, 'namespace' | 'objectName'> {
  const { user, servername } = occupant;
  const slug = labSlug({ username: user.username, servername });
  if (namespaces === 'perLab') return { namespace: `${namespacePrefix}-${slug}` };
  const name = fillPlaceholders(podName ?? DEFAULT_POD_NAME, occupant);
  // A user's name can be longer than Kubernetes takes one; a slug never is.
  return { namespace: namespace ?? controller, objectName: isDnsLabel(name) ? name : `lab-${slug}` };
}
