/** How one part of the program is, for `/readyz`, the log and people. */
export interface Health {
  readonly component: string;
  readonly ready: boolean;
  /** One sentence, without secrets and addresses of executors: why it is not ready, or what is wrong though it is. */
  readonly message?: string | undefined;
  /** Milliseconds since a cache has last heard from the API server. */
  readonly staleMs?: number | undefined;
}

/** Whatever works for as long as the program does. */
export interface Component {
  readonly name: string;
  health(): Health;
  /** Works until `signal` aborts and what was under way has ended. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** A local copy of something outside. It is synced once it has all of it, and stays so. */
export interface Cache extends Component {
  readonly synced: Promise<void>;
  readonly isSynced: boolean;
}
