/**
 * Builds whose Jobs are being created by this process. Between the check of a bound and the answer of the API server no cache has
 * them, so that requests at the same moment would all find room.
 */
export class Reservations {
  readonly #held = new Map<string, { readonly user: string; holders: number }>();

  /** @returns gives the reservation back; to be called once */
  reserve(id: string, user: string): () => void {
    const held = this.#held.get(id) ?? { user, holders: 0 };
    held.holders += 1;
    this.#held.set(id, held);
    return () => {
      held.holders -= 1;
      if (held.holders === 0) this.#held.delete(id);
    };
  }

  /**
   * Builds that are being created, one for each id.
   *
   * @param isKnown whether it is counted elsewhere already
   * @param user only those of this user
   */
  count(isKnown: (id: string) => boolean, user?: string): number {
    let count = 0;
    for (const [id, held] of this.#held) if (!isKnown(id) && (user === undefined || held.user === user)) count += 1;
    return count;
  }
}
