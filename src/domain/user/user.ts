/** Who a lab is for. The facts come from the identity provider; numbers are POSIX ids. */
export interface Group {
  readonly name: string;
  readonly id: number;
}

export interface LabUser {
  /** The name as the hub writes it, unchanged: it may hold any character. */
  readonly username: string;
  /** Display name; may hold anything a person typed. */
  readonly name: string | null;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly Group[];
  readonly email?: string;
  /** Home directory inside of the lab, where it is not the one that the configuration makes of the name. */
  readonly home?: string;
}

/** What one user may have at once. */
export interface Quota {
  /** Cores. */
  readonly cpu: number;
  /** Bytes. */
  readonly memory: number;
  /** False: this user may not start labs at all. */
  readonly spawn: boolean;
}
