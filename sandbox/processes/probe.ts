import { connect } from 'node:net';
import type { V1Pod } from '@kubernetes/client-node';

/** When a lab counts as listening. */
export interface Probe {
  readonly port: number;
  /** How long it may take, in milliseconds. */
  readonly patienceMs: number;
}

const DEFAULT_PERIOD_S = 10;
const DEFAULT_FAILURES = 3;

/** The startup probe of the pod's first container, or undefined when there is none that asks for a TCP connection. */
export function probeOf(pod: V1Pod): Probe | undefined {
  const { startupProbe, ports = [] } = pod.spec?.containers[0] ?? {};
  const asked = startupProbe?.tcpSocket?.port;
  // By number, or by the name that the container gives it.
  const port = typeof asked === 'string' ? ports.find(({ name }) => name === asked)?.containerPort : asked;
  if (port === undefined) return undefined;
  const { periodSeconds = DEFAULT_PERIOD_S, failureThreshold = DEFAULT_FAILURES } = startupProbe ?? {};
  return { port: Number(port), patienceMs: periodSeconds * failureThreshold * 1000 };
}

/** Whether somebody takes a connection there, within so many milliseconds. */
export function listens(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const answer = (connected: boolean) => () => {
      socket.destroy();
      resolve(connected);
    };
    socket.once('connect', answer(true)).once('timeout', answer(false)).once('error', answer(false));
  });
}
