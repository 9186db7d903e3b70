// How long a process does not claim a delivery that it cannot decide on, in milliseconds.
export const PASSED_OVER_FOR = 60_000;
const MOST = 1_000;

/** Deliveries that this process does not claim for a minute, because it lacks a class, source or handler that they need. */
export class PassedOver {
  private readonly until = new Map<string, number>();

  /** Their ids. */
  get ids(): readonly string[] {
    const now = performance.now();
    for (const [id, until] of this.until) {
      if (until > now) break;
      this.until.delete(id);
    }
    return [...this.until.keys()];
  }

  /** Adds a delivery. Returns false if the list is full. */
  add(id: string): boolean {
    // The Map is ordered by when the entries end, so an id that was there is put last.
    this.until.delete(id);
    if (this.until.size >= MOST) return false;
    this.until.set(id, performance.now() + PASSED_OVER_FOR);
    return true;
  }
}
